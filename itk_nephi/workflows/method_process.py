"""One registration method on one pair, in a process of its own, timed and measured there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from itk_nephi.io.errors import plain_words
from itk_nephi.io.pair_files import PairPaths, read_pair
from itk_nephi.io.transforms import write_transform
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.workflows.method_input import MethodInput
from itk_nephi.workflows.methods import METHODS, is_installed

FILES = ("fixed_to_moving.h5", "moving_to_fixed.h5", "run.json", "warped.nii.gz")
"""What a run of a method leaves in its folder, beside its log."""

LOG = "log.txt"
"""All that the process of a method printed."""

SEEN = ("fixed", "moving", "fixed_mask", "moving_mask")
"""The images of a pair that a method sees."""


def run_in_process(
    name: str,
    pair: ImagePair,
    folder: Path,
    *,
    elastix_parameters: Sequence[Path] = (),
    seed: int | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Register a pair by a method in a process of its own.

    Parameters
    ----------
    name : str
        One of :data:`itk_nephi.workflows.methods.METHODS`.
    pair : ImagePair
        A pair that was read from files: the process reads its images, its masks and its initial
        transform anew from ``pair.sources``.
    folder : Path
        Made if it is not there. Gets fixed_to_moving.h5, moving_to_fixed.h5 where the method has
        an inverse, and log.txt with all that the process printed; loses those of an earlier run.
    elastix_parameters : sequence of Path
        Parameter files for `elastix`.
    seed : int, optional
        Of all random numbers; each method's own when left out.
    threads : int, optional
        How many threads the method may use; as many as this process may when left out.

    Returns
    -------
    dict
        ``name``; ``error``, None or one sentence; ``seconds`` and ``cpu_seconds`` of the
        registration with its initial transform, without imports and files; ``process_seconds`` of
        the whole process; ``peak_memory_mib`` of the process, and ``memory_before_mib``, what of it
        the libraries and images took before the registration began.

    Raises
    ------
    ValueError
        If the pair was not read from files.
    """
    threads = threads or len(os.sched_getaffinity(0))
    task = describe_task(
        name, pair, elastix_parameters=elastix_parameters, seed=seed, threads=threads
    )
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (folder / file).unlink(missing_ok=True)
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    start = time.perf_counter()
    with (folder / LOG).open("w") as log:
        status = subprocess.run(
            [
                sys.executable,
                "-m",
                "itk_nephi.workflows.method_process",
                str(folder),
                json.dumps(task),
            ],
            env={**os.environ, **dict.fromkeys(variables, str(threads))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        ).returncode
    row: dict[str, Any] = {"name": name, "error": None}
    row["process_seconds"] = time.perf_counter() - start
    written = folder / "run.json"
    if status == 0 and written.is_file():
        row |= json.loads(written.read_text(encoding="utf-8"))
    else:
        row["error"] = _ending(status)
    if "See elastix log" in (row["error"] or ""):
        row["error"] = elastix_error((folder / LOG).read_text(errors="replace"))
    if row["error"]:
        row["error"] += f"; {folder / LOG} has what it printed"
    return row


def describe_task(
    name: str,
    pair: ImagePair,
    *,
    elastix_parameters: Sequence[Path] = (),
    seed: int | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Return as JSON what the process has to know, see :func:`run_in_process`."""
    seen = {image for image in pair.images if image in SEEN}
    if not (pair.initial_transform is None or isinstance(pair.initial_transform, str)):
        seen.add("initial_transform")
    if not seen <= pair.sources.keys():
        raise ValueError(
            f"expected {pair.name} to be read from files, for a process of its own to read them, "
            f"got none of {', '.join(sorted(seen - pair.sources.keys()))}"
        )
    files = {"initial_transform": pair.initial_transform or "identity"}
    files |= {role: str(pair.sources[role].absolute()) for role in seen}
    return {
        "name": name,
        "files": files,
        "elastix_parameters": [str(path.absolute()) for path in elastix_parameters],
        "seed": seed,
        "threads": threads,
    }


def elastix_error(log: str) -> str:
    """Return what elastix printed of its error, which its exception only points to."""
    reasons = re.findall(
        r"^Description: (?:ITK ERROR: )?(?:\w+\(0x\w+\): )?(.+)", log, re.MULTILINE
    )
    return f"elastix: {reasons[-1].strip()}" if reasons else "elastix failed without a description"


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "its process was killed, perhaps for lack of memory"
    if status < 0:
        return f"its process crashed: {signal.strsignal(-status)}"
    return f"its process ended with status {status}"


def run_task(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Register in this process; write the transforms and return the measurements."""
    method, package = METHODS[task["name"]]
    if not is_installed(package):
        raise ImportError(
            f"expected {package} to be installed, found none: `pip install {package}` brings it"
        )
    initial_transform = task["files"].pop("initial_transform")
    files: dict[str, Any] = {name: Path(path) for name, path in task["files"].items()}
    pair = read_pair(PairPaths(**files, initial_transform=initial_transform))
    solve = method(
        MethodInput(
            pair=pair,
            folder=folder,
            elastix_parameters=[Path(path) for path in task["elastix_parameters"]],
            seed=task["seed"],
            threads=task["threads"],
        )
    )
    before = _peak_memory_mib()
    start, cpu_start = time.perf_counter(), time.process_time()
    fixed_to_moving, moving_to_fixed = solve()
    measured = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu_start,
        "memory_before_mib": before,
        "peak_memory_mib": _peak_memory_mib(),
    }
    write_transform(fixed_to_moving, folder / "fixed_to_moving.h5")
    if moving_to_fixed is not None:
        write_transform(moving_to_fixed, folder / "moving_to_fixed.h5")
    return measured


def _peak_memory_mib() -> float:
    """Return the most memory that this process had; rusage also counts the one that began it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Run the task of the command line: a folder, and the task as JSON."""
    folder, task = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        result = run_task(folder, task)
    except Exception as error:
        import traceback

        traceback.print_exc()
        result = {"error": plain_words(error)}
    (folder / "run.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
