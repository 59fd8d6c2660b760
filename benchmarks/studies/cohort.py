"""Batches of many pairs, killed and resumed, beside a plain loop."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.cache import Figures
from benchmarks.pairs import Pair, hippocampus_pairs
from benchmarks.process import call_in_process, command_line, environment
from benchmarks.study import QUICK_STEPS, Run, Study, tabulate
from itk_nephi.io.pair_files import read_pair
from itk_nephi.io.pair_table import read_pair_table
from itk_nephi.io.transforms import read_transform
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.transforms import flatten
from itk_nephi.workflows import outputs
from itk_nephi.workflows.batch import RECORD
from itk_nephi.workflows.provenance import describe_inputs

CHANGING = ("seconds", "peak_memory_mib")
"""What of metrics.json is never the same."""


def measure(run: Run) -> Figures:
    """Register forty pairs in a few steps: undisturbed, killed, on two workers, and in a loop."""
    pairs = hippocampus_pairs(run, 40, seed=7)
    if run.quick:
        pairs = {f"{name}-{copy}": pair for copy in range(2) for name, pair in pairs.items()}
    steps = QUICK_STEPS if run.quick else 20
    return run.trial("cohort", run_batches, pairs=pairs, steps=steps)


def table(figures: Figures) -> str:
    """Return how many pairs each batch did, whether the same, and its time."""
    rows = [
        [name, str(row["done"]), row["same"], f"{row['seconds']:.0f}", row["remark"]]
        for name, row in figures.items()
    ]
    return tabulate(["run", "pairs done", "the same results", "s", ""], rows)


def holds(figures: Figures) -> bool:
    """Say whether all batches gave the same results."""
    return all(row["same"] != "NO" for row in figures.values())


def run_batches(folder: Path, *, pairs: dict[str, Pair], steps: int) -> Figures:
    """Run the batches one after the other, then the loop."""
    path = write_table(pairs, folder / "pairs.csv")
    count = len(pairs)

    def start(output: Path, *further: str) -> subprocess.Popen[bytes]:
        options = ("--preset", "fast", "--steps", steps, "--initial-transform", "geometry")
        command = command_line("batch", path, "-o", output, *options, *further)
        with (folder / f"{output.name}.log").open("a") as log:
            return subprocess.Popen(command, env=environment(), stdout=log, stderr=log)

    batches: dict[str, Callable[[Path], str]] = {
        "undisturbed": lambda output: finish(start(output)),
        "killed twice and resumed": lambda output: kill_twice(start, output, count),
        "two jobs": lambda output: kill_worker(start(output, "--jobs", "2"), output, count),
    }
    figures, expected = {}, None
    for name, run_batch in batches.items():
        output = folder / name.replace(" ", "-")
        begin = time.perf_counter()
        remark = run_batch(output)
        seconds = time.perf_counter() - begin
        found = contents(output)
        expected = expected or found
        same = "yes" if found == expected else "NO"
        done = count_done(output)
        figures[name] = {"done": done, "same": same, "seconds": seconds, "remark": remark}
    begin = time.perf_counter()
    call_in_process(loop, folder, table=path, steps=steps)
    seconds = time.perf_counter() - begin
    return figures | {
        "plain loop": {"done": count, "same": "-", "seconds": seconds, "remark": ""},
    }


def write_table(pairs: dict[str, Pair], path: Path) -> Path:
    """Write a table of pairs: images and labels."""
    columns = ("fixed", "moving", "fixed_labels", "moving_labels")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *columns])
        for name, pair in pairs.items():
            writer.writerow([name, *(pair[column].resolve() for column in columns)])
    return path


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


def count_done(output: Path) -> int:
    """Return how many pairs are complete."""
    return len(list(output.glob(f"*/{RECORD}")))


def wait(process: subprocess.Popen[bytes], output: Path, enough: int) -> None:
    """Wait until a batch has done enough pairs.

    Raises
    ------
    RuntimeError
        If it ends before.
    """
    while count_done(output) < enough:
        if process.poll() is not None:
            raise RuntimeError(f"expected a running batch, it ended with {process.returncode}")
        time.sleep(0.05)


def finish(process: subprocess.Popen[bytes]) -> str:
    """Wait for a batch.

    Raises
    ------
    RuntimeError
        If a pair failed.
    """
    if process.wait():
        raise RuntimeError(f"a batch ended with exit status {process.returncode}")
    return ""


def kill_twice(start: Callable[[Path], subprocess.Popen[bytes]], output: Path, count: int) -> str:
    """Kill a batch after a third and after two thirds; return how it went on."""
    kept = []
    for enough in (count // 3, 2 * count // 3):
        process = start(output)
        wait(process, output, enough)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept.append(count_done(output))
    times = {path: path.stat().st_mtime_ns for path in output.glob(f"*/{RECORD}")}
    finish(start(output))
    again = sum(path.stat().st_mtime_ns != time for path, time in times.items())
    return f"killed after {kept[0]} and {kept[1]} pairs; {again} of these done again"


def kill_worker(process: subprocess.Popen[bytes], output: Path, count: int) -> str:
    """Kill one of two workers half-way; return how it went on."""
    wait(process, output, count // 2)
    workers = [
        child
        for child in psutil.Process(process.pid).children()
        if any("spawn_main" in argument for argument in child.cmdline())
    ]
    workers[0].kill()
    finish(process)
    return f"one of {len(workers)} workers killed"


def loop(folder: Path, *, table: Path, steps: int) -> Figures:
    """Register the pairs one after the other, in this process, and write the same files."""
    settings = replace(RegistrationSettings.preset("fast"), steps=steps)
    for paths in read_pair_table(table, initial_transform="geometry"):
        start = time.perf_counter()
        pair = read_pair(paths)
        inputs = describe_inputs(pair)
        found = register(pair.fixed, pair.moving, initial_transform="geometry", settings=settings)
        seconds = {"read": 0.0, "register": time.perf_counter() - start}
        output = folder / "loop" / pair.name
        output.mkdir(parents=True)
        outputs.write(output, pair, found, inputs=inputs, seconds=seconds, device="cpu")
    return {}


STUDY = Study(
    name="cohort",
    question="Does a batch that is killed go on to the same results, and what does it cost?",
    time="13 minutes, two cores",
    measure=measure,
    table=table,
    holds=holds,
)
