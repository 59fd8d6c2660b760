"""The steps that need a GPU, at small sizes on the CPU, by the operators that a GPU computes by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cache import Figures
from benchmarks.gpu import run
from benchmarks.gpu.run import DONE, STEPS, SUMMARY, TOTAL, Step, run_all, run_apart, summarize

# these are what `make test` runs by itself
IN_PROCESS = [step for step in STEPS if step.name != "tests"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the images are less alike than before")
@pytest.mark.parametrize("step", IN_PROCESS, ids=[step.name for step in IN_PROCESS])
def test_a_dry_run_of_each_step_holds(step: Step) -> None:
    rows = list(step.run("cpu"))
    assert rows
    assert all(row.get("holds", True) for row in rows)
    json.dumps(rows)


def test_all_steps_end_within_nine_minutes() -> None:
    assert TOTAL < 540
    assert len({step.name for step in STEPS}) == len(STEPS)


def test_a_step_has_a_process_of_its_own_and_is_ended_in_time(tmp_path: Path) -> None:
    assert "wrong" not in run_apart(STEPS[0], "cpu", tmp_path, 300)
    (row,) = run.rows_of(STEPS[0], tmp_path)
    assert row["device"] == "cpu, a dry run"
    assert run_apart(STEPS[0], "cpu", tmp_path, 0.1)["wrong"] == "ended after 0 s"
    assert run_apart(STEPS[0], "abacus", tmp_path, 300)["wrong"] == "exit status 1"


def test_what_was_found_is_kept_when_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(_: str) -> Iterator[Figures]:
        yield {"side": 3, "seconds": 0.51234, "holds": True}
        yield {"side": 4, "holds": False}

    steps = [Step(name, f"What of {name}?", 10, rows) for name in ("first", "second", "third")]

    def apart(step: Step, device: str, out: Path, limit: float) -> Figures:
        run.run_step(step, device, out)
        assert limit <= 10
        end = {"wrong": f"ended after {limit:.0f} s"} if step.name == "second" else {}
        return {"step": step.name, "seconds": 1.0} | end

    monkeypatch.setattr(run, "run_apart", apart)
    assert not run_all(steps[:2], "cuda", tmp_path, total=100)
    assert [each["step"] for each in json.loads((tmp_path / DONE).read_text())] == [
        "first",
        "second",
    ]
    text = summarize(steps, json.loads((tmp_path / DONE).read_text()), tmp_path)
    assert text.startswith((tmp_path / SUMMARY).read_text().rstrip())
    assert "## first: What of first?" in text
    assert "| 3 | 0.5123 | yes |\n| 4 | - | no |" in text
    assert "1.0 s; ended after 10 s" in text
    assert text.endswith("## third: What of third?\n\nnot begun\n")
    assert not run_all(steps, "cuda", tmp_path, total=0)
