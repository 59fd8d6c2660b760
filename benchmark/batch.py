"""Kill batches of forty hippocampus pairs, and time one against a plain loop.

    python benchmark/batch.py -o OUT [--pairs 40] [--readme]

The pairs are of ../shared/data, drawn with a seed, and registered in a few steps: undisturbed;
killed with SIGKILL after a third and after two thirds, and resumed; on two workers, one of which is
killed half-way; and in a loop over ``itk_nephi.register`` that writes the same files.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tables import table, write_to_readme
from trials import DATA, say

from itk_nephi import RegistrationSettings, register
from itk_nephi.io.pair_files import PairPaths, read_pair
from itk_nephi.io.pair_table import read_pair_table
from itk_nephi.io.transforms import read_transform
from itk_nephi.spatial.transforms import flatten
from itk_nephi.workflows import outputs
from itk_nephi.workflows.batch import RECORD

STEPS = 20
OPTIONS = ("--preset", "fast", "--steps", str(STEPS), "--initial-transform", "geometry")


def write_table(count: int, path: Path) -> list[PairPaths]:
    """Write a table of pairs of different subjects, and return what it says."""
    folder = DATA / "hippocampus"
    names = sorted(image.name for image in (folder / "images").glob("*.nii.gz"))
    drawn = np.random.default_rng(7).permutation(len(names))[: 2 * count].reshape(count, 2)
    lines = ["name,fixed,moving,fixed_labels,moving_labels"]
    for number, pair in enumerate(drawn):
        files = [folder / kind / names[one] for kind in ("images", "labels") for one in pair]
        lines.append(",".join([f"pair-{number:02}", *map(str, files)]))
    path.write_text("\n".join(lines) + "\n")
    return read_pair_table(path)


def contents(output: Path) -> dict[str, Any]:
    """Return all that a batch has left of its pairs, but for time and memory.

    Transforms are taken as their numbers: HDF5 writes the time into its files.
    """
    found: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        if not path.is_file() or path.parent == output:
            continue
        name = str(path.relative_to(output))
        found[name] = path.read_bytes()
        if path.suffix == ".h5":
            found[name] = [
                (
                    part.GetNameOfClass(),
                    *(
                        np.asarray(numbers).tobytes()
                        for numbers in (part.GetParameters(), part.GetFixedParameters())
                    ),
                )
                for part in flatten(read_transform(path, name))
            ]
        elif path.name == "report.html":
            found[name] = re.sub(rb">[\d.]+( s| GiB)?( of memory)?<", b"><", found[name])
        elif path.name == "metrics.json":
            metrics = json.loads(found[name])
            found[name] = {k: v for k, v in metrics.items() if k not in CHANGING}
    return found


CHANGING = ("seconds", "peak_memory_mib")


def done_in(output: Path) -> int:
    """Return how many pairs are complete."""
    return len(list(output.glob(f"*/{RECORD}")))


def wait(process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    """Wait until something happens while a process runs.

    Raises
    ------
    RuntimeError
        If the process ends before.
    """
    while not happened():
        if process.poll() is not None:
            raise RuntimeError(f"expected a running batch, it ended with {process.returncode}")
        time.sleep(0.05)


def started(pairs: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a batch in a process of its own."""
    output.mkdir(parents=True, exist_ok=True)
    command = ["-c", "from itk_nephi.cli import main; main()", "batch", str(pairs)]
    command += ["-o", str(output), *OPTIONS, *options]
    with (output.parent / f"{output.name}.log").open("a") as log:
        return subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait for a batch.

    Raises
    ------
    RuntimeError
        If a pair failed.
    """
    if process.wait():
        raise RuntimeError(f"a batch ended with exit status {process.returncode}")


def killed_twice(pairs: Path, output: Path, count: int) -> str:
    """Kill a batch after a third and after two thirds; return how it went on."""
    kept = []
    for share in (1, 2):
        process = started(pairs, output)
        wait(process, lambda share=share: done_in(output) >= share * count // 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept.append(done_in(output))
    times = {path: path.stat().st_mtime_ns for path in output.glob(f"*/{RECORD}")}
    finished(started(pairs, output))
    again = sum(path.stat().st_mtime_ns != time for path, time in times.items())
    return f"killed after {kept[0]} and {kept[1]} pairs; {again} of these done again"


def worker_killed(pairs: Path, output: Path, count: int) -> str:
    """Kill one of two workers half-way; return how it went on."""
    process = started(pairs, output, "--jobs", "2")
    wait(process, lambda: done_in(output) >= count // 2)
    workers = [
        child
        for child in psutil.Process(process.pid).children()
        if any("spawn_main" in argument for argument in child.cmdline())
    ]
    workers[0].kill()
    finished(process)
    return f"one of {len(workers)} workers killed"


def loop(pairs: list[PairPaths], output: Path) -> str:
    """Register the pairs one after the other, in this process."""
    settings = replace(RegistrationSettings.preset("fast"), steps=STEPS)
    for pair in pairs:
        start = time.perf_counter()
        images = read_pair(pair)
        found = register(
            images.fixed, images.moving, initial_transform="geometry", settings=settings
        )
        seconds = {"read": 0.0, "register": time.perf_counter() - start}
        folder = output / pair.name
        folder.mkdir(parents=True)
        outputs.write(folder, images, found, seconds=seconds, device="cpu")
    return ""


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="must not exist yet")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    output, count = arguments.output.resolve(), arguments.pairs
    if arguments.loop:
        loop(read_pair_table(output / "pairs.csv", initial_transform="geometry"), output / "loop")
        return
    output.mkdir(parents=True)
    path = output / "pairs.csv"
    write_table(count, path)
    rounds: dict[str, Callable[[Path], str]] = {
        "undisturbed": lambda folder: finished(started(path, folder)) or "",
        "killed twice and resumed": lambda folder: killed_twice(path, folder, count),
        "two jobs": lambda folder: worker_killed(path, folder, count),
    }
    rows, expected = [], None
    for name, run in rounds.items():
        say(f"{name} ...")
        folder = output / name.replace(" ", "-")
        start = time.perf_counter()
        remark = run(folder)
        seconds = time.perf_counter() - start
        found = contents(folder)
        expected = expected or found
        same = "yes" if found == expected else "NO"
        rows.append([name, f"{done_in(folder)}", same, f"{seconds:.0f}", remark])
    say("loop ...")
    start = time.perf_counter()
    subprocess.run([sys.executable, __file__, "-o", str(output), "--loop"], check=True)
    rows.append(["plain loop", str(count), "-", f"{time.perf_counter() - start:.0f}", ""])
    header = ["run", "pairs done", "the same results", "s", ""]
    text = table(header, rows)
    sys.stdout.write(text + "\n")
    if arguments.readme:
        write_to_readme("batch", text)


if __name__ == "__main__":
    main()
