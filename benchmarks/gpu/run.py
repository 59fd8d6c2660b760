"""All steps, one after the other, each in a process of its own that is ended when its time is up.

``python -m benchmarks.gpu.run DEVICE OUT``; results are written row by row.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cache import Figures
from benchmarks.process import environment
from benchmarks.study import tabulate

TOTAL = 530.0
"""When the last step is ended, seconds."""

SUMMARY, DONE = "summary.md", "done.json"

GPU_TESTS = ("test/test_devices.py", "test/fields/test_device.py")


@dataclass(frozen=True)
class Step:
    """One of the things that a GPU is needed for.

    Parameters
    ----------
    name : str
        Of its files.
    question : str
        What its rows answer.
    limit : float
        Its time on a GPU, seconds.
    run : callable
        Yields the rows; ``holds`` among a row's figures is whether it shows what it should.
    """

    name: str
    question: str
    limit: float
    run: Callable[[str], Iterator[Figures]]


def run_tests(device: str) -> Iterator[Figures]:
    """Yield how many tests of GPUs pass and fail; in a dry run those that need none."""
    import pytest

    class Counts:
        def __init__(self) -> None:
            self.passed = self.failed = 0

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            self.passed += report.when == "call" and report.passed
            self.failed += report.failed

    counts = Counts()
    chosen = ["-m", "gpu"] if device != "cpu" else ["-m", "not gpu", "-k", "not elsewhere"]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    pytest.main(["-q", "-p", "no:cacheprovider", *chosen, *GPU_TESTS], plugins=[counts])
    yield {
        "passed": counts.passed,
        "failed": counts.failed,
        "holds": counts.passed > 0 and counts.failed == 0,
    }


def _of(module: str, function: str) -> Callable[[str], Iterator[Figures]]:
    """Return a function that loads torch only when it is called, in the process of its step."""

    def run(device: str) -> Iterator[Figures]:
        measured = importlib.import_module("benchmarks.gpu.device").Device(device)
        yield from getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)(measured)

    return run


STEPS = (
    Step("device", "What is it?", 30, _of("device", "describe")),
    Step("tests", "Do the tests of GPUs pass?", 70, run_tests),
    Step(
        "evaluation",
        "How fast is the transform on it, and is it the same?",
        50,
        _of("evaluation", "measure"),
    ),
    Step("files", "Do files hold what was written?", 20, _of("evaluation", "write_and_read")),
    Step(
        "registration",
        "How long does a registration take, in how much memory?",
        190,
        _of("registration", "measure"),
    ),
    Step("agreement", "Is the result that of the CPU?", 45, _of("registration", "compare")),
    Step("steps", "Do the steps keep it busy?", 40, _of("registration", "time_steps")),
    Step(
        "training",
        "How fast is training at the sizes of the paper?",
        50,
        _of("training", "measure"),
    ),
    Step("learning", "Does a short training learn?", 35, _of("training", "learn")),
    Step(
        "voxels",
        "How much memory does a displacement of each voxel take?",
        30,
        _of("registration", "optimize_voxel_field"),
    ),
    Step("sharing", "May threads and streams share it?", 25, _of("sharing", "measure")),
    Step(
        "memory",
        "Is a full memory one clear sentence?",
        20,
        _of("sharing", "run_out_of_memory"),
    ),
)


def run_step(step: Step, device: str, out: Path) -> None:
    """Run a step in this process, and write its rows as they come."""
    with (out / f"{step.name}.jsonl").open("w") as file:
        for row in step.run(device):
            file.write(json.dumps(row) + "\n")
            file.flush()


def run_apart(step: Step, device: str, out: Path, limit: float) -> Figures:
    """Run a step in a process of its own; return its seconds, and what went wrong, if anything."""
    start = time.perf_counter()
    with (out / f"{step.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.run", device, str(out), "--step", step.name],
            env=environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            status = process.wait(limit)
            wrong = f"exit status {status}" if status else None
        except subprocess.TimeoutExpired:
            wrong = f"ended after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    found: Figures = {"step": step.name, "seconds": round(time.perf_counter() - start, 1)}
    return found if wrong is None else found | {"wrong": wrong}


def rows_of(step: Step, out: Path) -> list[Figures]:
    """Return the rows that a step has written so far."""
    path = out / f"{step.name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [dict(json.loads(line)) for line in lines]


def summarize(steps: Sequence[Step], done: Sequence[Figures], out: Path) -> str:
    """Return the rows of all steps as tables, and what went wrong."""
    found = {each["step"]: each for each in done}
    parts = []
    for step in steps:
        rows, end = rows_of(step, out), found.get(step.name, {"wrong": "not begun"})
        parts.append(f"## {step.name}: {step.question}")
        if rows:
            header = list(dict.fromkeys(name for row in rows for name in row))
            table = [[_cell(row.get(name)) for name in header] for row in rows]
            parts.append(tabulate(header, table))
        seconds = f"{end['seconds']} s" if "seconds" in end else ""
        parts.append("; ".join(filter(None, [seconds, end.get("wrong")])))
    return "\n\n".join(parts) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def run_all(steps: Sequence[Step], device: str, out: Path, total: float = TOTAL) -> bool:
    """Run steps until the time is up; return whether all ended well and show what they should."""
    out.mkdir(parents=True, exist_ok=True)
    begun, done = time.perf_counter(), list[Figures]()
    slower = 1 if device != "cpu" else 10  # a dry run shows that it works, on any machine
    for step in steps:
        left = slower * total - (time.perf_counter() - begun)
        if left > 0:
            done.append(run_apart(step, device, out, min(slower * step.limit, left)))
        (out / DONE).write_text(json.dumps(done, indent=2) + "\n")
        (out / SUMMARY).write_text(summarize(steps, done, out))
    well = len(done) == len(steps) and not any("wrong" in each for each in done)
    return well and all(row.get("holds", True) for step in steps for row in rows_of(step, out))


def main() -> int:
    """Run all steps, or the one that is named."""
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__.splitlines()[0])
    parser.add_argument("device", help="cuda; or cpu, for a dry run at small sizes")
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--step", choices=[step.name for step in STEPS], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step is not None:
        run_step(next(s for s in STEPS if s.name == given.step), given.device, given.out)
        return 0
    well = run_all(STEPS, given.device, given.out)
    sys.stdout.write((given.out / SUMMARY).read_text())
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
