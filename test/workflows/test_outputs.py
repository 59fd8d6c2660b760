"""What a registration says of itself in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from itk_nephi.workflows.outputs import format_summary


def evaluation(ncc: float | None, **further: Any) -> dict[str, Any]:
    return {"region": "fixed mask", "folding_fraction": 0.0, "ncc": ncc} | further


def result(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    consistency = {"mean": 0.125, "p95": 0.5}
    return {
        "as_stored": {"landmark_error_mm": {"mean": 20.0}},
        "before": before,
        "after": {"inverse_consistency_error_mm": consistency} | after,
        "seconds": {"total": 12.3},
        "peak_memory_mib": 1536.0,
    }


def test_the_summary_has_the_numbers_before_and_now() -> None:
    errors = {"count": 51, "mean": 2.0, "median": 1.5, "p95": 5.25, "max": 9.0}
    before = evaluation(None, landmark_error_mm={"mean": 8.0}, dice={"1": 0.25, "2": 0.75})
    after = evaluation(0.9375, landmark_error_mm=errors, dice={"1": 0.5, "2": 0.875})
    lines = format_summary(result(before, after), Path("out")).splitlines()
    for line in (
        "landmark error   mean 20.00 mm as stored, 8.00 mm after the initial transform, "
        "2.00 mm now",
        "                 now: median 1.50, 95th percentile 5.25, largest 9.00 mm, of 51",
        "Dice of labels   mean 0.500 before, 0.688 now",
        "NCC              none before, 0.938 now (1 is best)",
        "folding          none in the fixed mask",
        "time             12 s, memory 1.5 GiB",
        "  out/fixed_to_moving.h5",
    ):
        assert line in lines


def test_the_summary_is_silent_on_what_was_not_measured_and_tells_of_folds() -> None:
    after = evaluation(0.9, folding_fraction=0.000123, region="fixed image")
    text = format_summary(result(evaluation(0.5), after), Path("out"))
    assert "landmark" not in text
    assert "Dice" not in text
    assert "0.0123% in the fixed image" in text
