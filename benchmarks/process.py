"""Fresh processes: a function in one, the command line in one, and the memory of this one."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cache import ROOT, Figures

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")

RETURNED = "returned.json"


def environment(threads: int | None = None, checkout: Path = ROOT) -> dict[str, str]:
    """Return the variables of a process that imports a checkout, with a number of threads."""
    count = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **count, "PYTHONPATH": os.pathsep.join(paths)}


def call_in_process(
    function: Callable[..., Figures], folder: Path, *, threads: int | None = None, **arguments: Any
) -> Figures:
    """Call a function of a module in a fresh Python process.

    Parameters
    ----------
    function : callable
        Takes the folder and the arguments; returns what JSON can hold.
    folder : Path
        Gets log.txt, with all that it printed.
    threads : int, optional
        How many it may use; as many as there are cores when left out.
    **arguments
        Of the function.

    Raises
    ------
    RuntimeError
        If it fails, with the last line of the log, or the signal that ended it.
    """
    (folder / RETURNED).unlink(missing_ok=True)
    with (folder / "log.txt").open("wb") as out:
        status = subprocess.run(
            [sys.executable, "-m", "benchmarks.process", str(folder)],
            input=pickle.dumps((function, arguments)),
            env=environment(threads),
            stdout=out,
            stderr=out,
            check=False,
        ).returncode
    if status < 0:
        raise RuntimeError(f"ended by {signal.Signals(-status).name}")
    if status:
        lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit status {status}")
    return dict(json.loads((folder / RETURNED).read_text()))


def command_line(*arguments: object) -> list[str]:
    """Return the command of ``itk-nephi`` in this Python; run it with :func:`environment`."""
    return [sys.executable, "-c", "from itk_nephi.cli.app import main; main()"] + [
        str(argument) for argument in arguments
    ]


def run_command(*arguments: object) -> None:
    """Run ``itk-nephi``, and raise a ``CalledProcessError`` if it fails."""
    subprocess.run(command_line(*arguments), env=environment(), check=True)


def begin_peak() -> float:
    """Let the peak memory of this process begin anew; return the baseline, what it holds, MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _mib("/proc/self/status", "VmRSS")


def peak_memory(baseline: float | None = None) -> Figures:
    """Return the most memory that this process held, and from where it counts.

    Parameters
    ----------
    baseline : float, optional
        What :func:`begin_peak` returned, MiB; all that the process ever held when left out.

    Returns
    -------
    dict
        ``mib``, and ``counted_from``: ``start of the process`` or ``baseline``.
    """
    if baseline is None:
        return {"mib": _mib("/proc/self/status", "VmHWM"), "counted_from": "start of the process"}
    return {"mib": _mib("/proc/self/status", "VmHWM") - baseline, "counted_from": "baseline"}


def available_bytes() -> int:
    """Return how much memory this process may address before the machine has none left."""
    held = _mib("/proc/self/status", "VmSize") + _mib("/proc/meminfo", "MemAvailable")
    return int(held * 2**20)


def _mib(file: str, name: str) -> float:
    (found,) = re.findall(rf"^{name}:\s+(\d+) kB", Path(file).read_text(), re.MULTILINE)
    return int(found) / 2**10


def main() -> None:
    """Do what :func:`call_in_process` asks for."""
    function, arguments = pickle.load(sys.stdin.buffer)
    folder = Path(sys.argv[1])
    (folder / RETURNED).write_text(json.dumps(function(folder, **arguments)))


if __name__ == "__main__":
    main()
