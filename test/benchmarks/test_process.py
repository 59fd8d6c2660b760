"""Functions run in fresh processes, and memory counts from where it says."""

import os
from pathlib import Path

import pytest
from support.processes import count_memory, fail, kill, look_around

from benchmarks.process import call_in_process


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh processes find ``support`` too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def test_a_function_runs_in_another_process(tmp_path: Path) -> None:
    found = call_in_process(look_around, tmp_path, threads=3, path=Path("a/b"))
    assert found["process"] != os.getpid()
    assert (found["threads"], found["name"]) == ("3", "b")


def test_a_failure_is_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ValueError: expected more"):
        call_in_process(fail, tmp_path)
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_a_killed_process_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended by SIGKILL"):
        call_in_process(kill, tmp_path)


def test_memory_beyond_a_baseline_is_that_of_what_was_made(tmp_path: Path) -> None:
    found = call_in_process(count_memory, tmp_path)
    assert found["beyond"]["counted_from"] == "baseline"
    assert 95 < found["beyond"]["mib"] < 130
    assert found["whole"]["counted_from"] == "start of the process"
    assert found["whole"]["mib"] > found["baseline"] + 95
