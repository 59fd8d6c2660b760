from __future__ import annotations

import re
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from itk_nephi.cli import progress
from itk_nephi.evaluation.evaluation import MeanEvaluation
from itk_nephi.registration.result import Progress
from itk_nephi.training.training import TrainingProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that tests move."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock.now)
    return clock


def step(done: int, *, left: int) -> Progress:
    return Progress(
        level=2,
        levels=3,
        done=done,
        total=30,
        losses={"dissimilarity": 0.1234},
        left=left,
        share=done / 30,
    )


def outcome(name: str, **options: Any) -> Any:
    shown = {"reason": "", "earlier": False, "seconds": 0.0, **options}
    return SimpleNamespace(pair=SimpleNamespace(name=name), **shown)


def test_where_there_is_no_terminal_each_level_is_one_line(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.shown_progress() as show:
        show(step(19, left=1))
        clock.now += 8
        show(step(20, left=0))
    told = capsys.readouterr()
    assert told.err == "level 2 of 3: step 20 of 30, dissimilarity 0.123, 8 s\n"
    assert told.out == ""


def test_on_a_terminal_a_bar_comes_and_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.shown_progress() as show:
        show(step(20, left=0))
    told = capsys.readouterr().err
    assert "level 2 of 3, dissimilarity 0.123" in told
    assert "step 20 of 30" not in told
    assert told.endswith("\x1b[2K")  # the line is erased


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines as soon as a hundredth of a second was silent."""
    monkeypatch.setattr(progress, "SILENCE", 0.01)


def lines(capsys: pytest.CaptureFixture[str], count: int) -> list[str]:
    """Wait for so many lines on stderr."""
    give_up, told = time.monotonic() + 60, ""
    while told.count("\n") < count:
        assert time.monotonic() < give_up
        time.sleep(0.005)
        told += capsys.readouterr().err
    return told.splitlines()


@pytest.mark.usefixtures("hasty")
def test_what_takes_long_is_told_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Pulse("reading") as pulse:
        assert lines(capsys, 2)[:2] == ["reading, 0 s"] * 2
        pulse.change("writing")
        assert lines(capsys, 2)[-1] == "writing, 0 s"
        pulse.change("")
        time.sleep(0.05)
        capsys.readouterr()
        time.sleep(0.05)
        assert capsys.readouterr().err == ""
        pulse.change("drawing")
        lines(capsys, 1)
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_what_takes_short_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Pulse("reading") as pulse:
        pulse.change("writing")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("hasty")
def test_a_line_puts_off_the_next_pulse(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Pulse("registering") as pulse:
        for _ in range(20):
            pulse.show("a pair")
            time.sleep(0.002)
        told = capsys.readouterr().err.splitlines()
    assert told.count("a pair") == 20
    assert len(told) < 30


@pytest.mark.usefixtures("hasty")
def test_a_pulse_within_a_level_tells_its_step_and_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.Pulse("starting") as pulse, progress.shown_progress(pulse) as show:
        show(step(3, left=17))
        assert "level 2 of 3: step 3 of 30, dissimilarity 0.123, 0 s" in lines(capsys, 3)
        show(step(4, left=16))
        assert re.fullmatch(
            r"level 2 of 3: step 4 of 30, dissimilarity 0.123, about 0:00:\d\d left, 0 s",
            lines(capsys, 3)[-1],
        )


def test_the_time_left_is_that_of_the_share_seen_here(clock: SimpleNamespace) -> None:
    remaining = progress._Remaining()
    assert remaining.phrase(0.5) == ""
    clock.now += 10
    assert remaining.phrase(0.55) == ", about 0:01:30 left"
    assert remaining.phrase(0.5) == ""  # a level that began again


def test_pairs_are_counted_and_the_time_left_is_that_of_those_computed(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = progress.pair_progress(5)
    tell(outcome("anna", earlier=True))
    clock.now += 30
    tell(outcome("ben", seconds=29.6))
    clock.now += 10
    tell(outcome("cleo", seconds=10.2, reason="expected contrast"))
    assert capsys.readouterr().err.splitlines() == [
        "1 of 5: anna was done before",
        "2 of 5: ben done, 30 s; about 0:01:30 left",
        "3 of 5: cleo failed: expected contrast, 10 s; about 0:00:40 left",
    ]


def test_a_training_tells_of_its_validations_only(capsys: pytest.CaptureFixture[str]) -> None:
    mean = MeanEvaluation(
        folding_fraction=0.0,
        log_jacobian_sd=0.25,
        ncc=0.87654,
        dice=None,
        landmark_error_mm=1.23456,
    )
    with progress.shown_training() as show:
        for done, validation in ((1, None), (2, mean)):
            show(TrainingProgress(done, 9, {"dissimilarity": 0.5}, validation))
    told = capsys.readouterr().err
    assert told == (
        "step 2 of 9: dissimilarity 0.5000; validation: folding fraction 0, "
        "log jacobian sd 0.25, ncc 0.8765, landmark error mm 1.235\n"
    )


def test_a_lock_that_an_interrupt_has_left_does_not_keep_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "SILENCE", 0.01)
    monkeypatch.setattr(progress, "PATIENCE", 0.1)
    lock = threading.Lock()
    monkeypatch.setattr(progress, "report", lambda _: lock.acquire())
    with lock, progress.Pulse("reading"):
        time.sleep(0.1)
