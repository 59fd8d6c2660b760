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

import itk

from itk_nephi.io.errors import plain_words
from itk_nephi.io.pair_files import Case
from itk_nephi.io.transforms import read_transform, write_transform
from itk_nephi.workflows.method_input import MethodInput
from itk_nephi.workflows.methods import METHODS, is_installed

FILES = ("fixed_to_moving.h5", "moving_to_fixed.h5", "run.json", "warped.nii.gz")
"""What a run of a method leaves in its folder, beside log.txt."""


def run_in_process(
    name: str,
    case: Case,
    folder: Path,
    *,
    initial_transform: str = "affine",
    elastix_parameters: Sequence[Path] = (),
    seed: int | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Register a pair by a method in a process of its own.

    Parameters
    ----------
    name : str
        One of :data:`itk_nephi.workflows.methods.METHODS`.
    case : Case
        The pair; the process reads it anew from ``case.paths``.
    folder : Path
        Made if it is not there. Gets fixed_to_moving.h5, moving_to_fixed.h5 where the method finds
        an inverse, and log.txt with all that the process printed; loses those of an earlier run.
    initial_transform : str
        A kind of initial transform or a file, as for ``itk-nephi register --initial-transform``.
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
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (folder / file).unlink(missing_ok=True)
    threads = threads or len(os.sched_getaffinity(0))
    count = str(threads)
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    task = {
        "name": name,
        "paths": {role: str(Path(path).absolute()) for role, path in case.paths.items()},
        "initial_transform": str(Path(initial_transform).absolute())
        if Path(initial_transform).is_file()
        else initial_transform,
        "elastix_parameters": [str(path.absolute()) for path in elastix_parameters],
        "seed": seed,
        "threads": threads,
    }
    start = time.perf_counter()
    with (folder / "log.txt").open("w") as log:
        status = subprocess.run(
            [
                sys.executable,
                "-m",
                "itk_nephi.workflows.method_process",
                str(folder),
                json.dumps(task),
            ],
            env={**os.environ, **dict.fromkeys(variables, count)},
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
        row["error"] = elastix_error((folder / "log.txt").read_text(errors="replace"))
    if row["error"]:
        row["error"] += f"; {folder / 'log.txt'} has what it printed"
    return row


def elastix_error(log: str) -> str:
    """Return what elastix printed of its error, which its exception only points to."""
    said = re.findall(r"^Description: (?:ITK ERROR: )?(?:\w+\(0x\w+\): )?(.+)", log, re.MULTILINE)
    return f"elastix: {said[-1].strip()}" if said else "elastix failed without a description"


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "its process was killed, perhaps for lack of memory"
    if status < 0:
        return f"its process crashed: {signal.strsignal(-status)}"
    return f"its process ended with status {status}"


def _measured(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Register in this process; write the transforms and return the measurements."""
    method, package = METHODS[task["name"]]
    if not is_installed(package):
        raise ImportError(f"expected the package {package} to be installed, found none")
    paths = {role: Path(path) for role, path in task["paths"].items()}
    case = Case.read(
        paths["fixed"], paths["moving"], paths.get("fixed_mask"), paths.get("moving_mask")
    )
    initial_transform = task["initial_transform"]
    if Path(initial_transform).is_file():
        initial_transform = read_transform(
            Path(initial_transform), "--initial-transform", case.dimension
        )
    solve = method(
        MethodInput(
            case=case,
            initial_transform=initial_transform,
            folder=folder,
            elastix_parameters=[Path(path) for path in task["elastix_parameters"]],
            seed=task["seed"],
            threads=task["threads"],
        )
    )
    if initial_transform == "affine":
        _ = itk.ImageRegistrationMethodv4  # ITK loads at first use, here before the clock starts
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
    """Run what the command line says: a folder, and the task as JSON."""
    folder, task = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        result = _measured(folder, task)
    except Exception as error:
        import traceback

        traceback.print_exc()
        result = {"error": plain_words(error)}
    (folder / "run.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
