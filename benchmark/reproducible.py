"""Show that a registration of the lung pair of ../shared/data gives the same bytes again.

    python benchmark/reproducible.py -o OUT [--quick] [--readme]

The pair A, the same with fixed and moving image exchanged (B), and A again in one process; A in a
new process, with one thread and with three, and killed half-way and resumed from its checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
from tables import table, write_to_readme
from trials import LUNG, once, subfolder

ROUNDS = {
    "A, B, A in one process": {"pairs": "ABA"},
    "A in a new process": {"pairs": "A"},
    "A with one thread": {"pairs": "A", "threads": 1},
    "A with three threads": {"pairs": "A", "threads": 3},
    "A killed half-way and resumed": {"pairs": "A", "killed": True},
}


def register_pairs(
    pairs: str, folder: Path, *, steps: int | None, checkpoint: Path | None, kill: bool
) -> None:
    """Register one pair after the other in this process; print the digest of each transform."""
    from itk_nephi import RegistrationSettings, register

    names = ("fixed", "moving", "fixed_mask", "moving_mask")
    images = {name: itk.imread(LUNG / f"{name}.mha") for name in names}
    settings = RegistrationSettings()
    settings = settings if steps is None else replace(settings, steps=steps)
    keeping = {} if checkpoint is None else {"checkpoint": checkpoint, "checkpoint_interval": 0}

    def kill_half_way(progress: Any) -> None:
        if progress.done > progress.total / 2:
            os.kill(os.getpid(), signal.SIGKILL)

    for pair in pairs:
        one, other = ("fixed", "moving") if pair == "A" else ("moving", "fixed")
        found = register(
            images[one],
            images[other],
            fixed_mask=images[f"{one}_mask"],
            moving_mask=images[f"{other}_mask"],
            settings=settings,
            callback=kill_half_way if kill else None,
            **keeping,
        )
        path = folder / "fixed_to_moving.tfm"
        itk.transformwrite(found.fixed_to_moving, str(path))
        sys.stdout.write(hashlib.sha256(path.read_bytes()).hexdigest() + "\n")


def digests(
    folder: Path, *, quick: bool, pairs: str, threads: int = 0, killed: bool = False
) -> Any:
    """Register in a process of its own, which is killed and started again if ``killed``."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "-o", str(folder), "--register", pairs]
    command += ["--quick"] if quick else []
    threaded = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    environment = {**os.environ, **threaded}
    start = time.perf_counter()
    if killed:
        checkpoint = folder / "checkpoint"
        command += ["--checkpoint", str(checkpoint)]
        first = subprocess.run([*command, "--kill"], check=False, env=environment)
        if first.returncode != -signal.SIGKILL or not checkpoint.exists():
            raise RuntimeError(
                f"expected a run killed half-way and its checkpoint, got exit status "
                f"{first.returncode}"
            )
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return {"digests": done.stdout.split(), "seconds": time.perf_counter() - start}


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few steps")
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    for hidden in ("--register", "--checkpoint"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--kill", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.register:
        register_pairs(
            arguments.register,
            arguments.output,
            steps=3 if arguments.quick else None,
            checkpoint=arguments.checkpoint and Path(arguments.checkpoint),
            kill=arguments.kill,
        )
        return
    output = subfolder(arguments) / "reproducible"
    rows, expected = [], None
    for number, (name, how) in enumerate(ROUNDS.items()):
        found = once(
            output / f"{number}.json",
            lambda how=how, number=number: digests(
                output / str(number), quick=arguments.quick, **how
            ),
        )
        given = found.get("digests", [])[::2]
        expected = expected or given[0]
        same = found.get("error") or ("yes" if set(given) == {expected} else "NO")
        rows.append([name, same, f"{found['seconds']:.0f}" if "seconds" in found else "-"])
    text = table(["run", "the same bytes of A's transforms", "seconds"], rows)
    sys.stdout.write(text + "\n")
    if arguments.readme:
        write_to_readme("reproducible", text)


if __name__ == "__main__":
    main()
