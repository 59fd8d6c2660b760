"""Functions run in fresh processes, and memory counts from where it says."""

import os
from pathlib import Path

import numpy as np
import pytest
from support.processes import fail, kill, look_around

from benchmarks.process import begin_peak, call_in_process, peak_memory


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


def test_memory_beyond_a_baseline_is_that_of_what_was_made() -> None:
    np.ones(40 * 2**17)  # freed before the baseline
    baseline = begin_peak()
    np.ones(100 * 2**17)
    found = peak_memory(baseline)
    assert found["counted_from"] == "baseline"
    assert 95 < found["mib"] < 130
    whole = peak_memory()
    assert whole["counted_from"] == "start of the process"
    assert whole["mib"] > baseline + 95
