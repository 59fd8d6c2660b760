from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.parallel import squared

from itk_nephi.workflows import parallel
from itk_nephi.workflows.parallel import run_parallel


def test_what_kills_every_process_does_not_end_the_rest() -> None:
    assert sorted(run_parallel(squared, [1, 2, 3], 2, None)) == [(1, 1), (2, None), (3, 9)]


@contextmanager
def dask(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(Path(sys.executable).with_name("dask")), *map(str, arguments)]
    folders = [str(folder) for folder in Path(__file__).parents[1:3]]  # of support, and the package
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, ExitStack, subprocess.Popen[bytes]]]:
    """A scheduler, what keeps its workers, and its process."""
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        arguments = ["--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file]
        scheduler = stack.enter_context(dask("scheduler", *arguments))
        while not file.is_file() or "address" not in file.read_text():
            time.sleep(0.1)
        found = file.read_text().partition('"address": "')[2].partition('"')[0]
        yield found, stack, scheduler


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "PATIENCE", 5)
    monkeypatch.setattr(parallel, "INTERVAL", 0.5)


def test_no_scheduler_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"expected a Dask scheduler at 127\.0\.0\.1:9, got none"):
        list(run_parallel(squared, [1], 1, "127.0.0.1:9"))


def test_a_scheduler_without_workers_is_a_sentence(
    address: tuple[str, ExitStack, subprocess.Popen[bytes]],
) -> None:
    with pytest.raises(ValueError, match=f"expected workers at {address[0]}, got a Dask scheduler"):
        list(run_parallel(squared, [1], 1, address[0]))


def test_a_lost_scheduler_and_lost_workers_are_sentences(
    address: tuple[str, ExitStack, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, stack, scheduler = address
    monkeypatch.setattr(parallel, "PATIENCE", 30)  # a busy machine starts workers slowly
    options = ("--nthreads", 1, "--no-dashboard", "--no-nanny")
    worker = stack.enter_context(dask("worker", found, *options))
    results = run_parallel(squared, [1, 3], 1, found)
    assert next(results) in [(1, 1), (3, 9)]
    results.close()
    results = run_parallel(time.sleep, [100.0], 1, found)
    with pytest.raises(RuntimeError, match="lost the last worker at"):
        _ended_while_running(results, worker)
    stack.enter_context(dask("worker", found, *options))
    with pytest.raises(RuntimeError, match="lost the scheduler at"):
        _ended_while_running(run_parallel(time.sleep, [100.0], 1, found), scheduler)


def _ended_while_running(results: Iterator[object], process: subprocess.Popen[bytes]) -> None:
    threading.Timer(4, process.kill).start()
    next(iter(results))
