from __future__ import annotations

from typing import Any

import pytest

from itk_nephi.workflows.comparison_table import (
    describe_row,
    differences_in_markdown,
    metric,
    paired_differences,
)


def row(name: str, error: float | None, **further: Any) -> dict[str, Any]:
    if error is None:
        return {"name": name, "error": "no luck"}
    return {"name": name, "error": None, "landmark_error_mm": {"mean": error}, **further}


def test_methods_are_compared_on_the_pairs_where_both_succeeded() -> None:
    pairs = [
        {"methods": [row("a", 2.0, dice={"1": 0.5, "2": 0.7}), row("b", 1.0, dice={"1": 0.4})]},
        {"methods": [row("a", 4.0), row("b", 1.0)]},
        {"methods": [row("a", None), row("b", 1.0)]},
    ]
    landmarks, dice = paired_differences(pairs)
    assert landmarks == {
        "metric": "landmark error, mean mm",
        "method": "a",
        "other": "b",
        "pairs": 2,
        "mean": 2.0,
        "low": None,
        "high": None,
    }
    assert dice["metric"] == "Dice, mean"
    assert dice["mean"] == pytest.approx(0.2)


@pytest.mark.parametrize(("count", "cells"), [(5, "5 | 3 | -"), (6, "6 | 3 | 3 to 3")])
def test_an_interval_takes_more_than_a_few_pairs(count: int, cells: str) -> None:
    differences = paired_differences([{"methods": [row("a", 4.0), row("b", 1.0)]}] * count)
    text = differences_in_markdown(differences)
    assert f"| landmark error, mean mm | a - b | {cells} |" in text
    assert "where there are 6 pairs or more" in text


def test_a_metric_that_a_row_lacks_is_none() -> None:
    assert metric(row("a", None), "landmark error, mean mm") is None
    assert (
        metric(
            {"inverse_consistency_error_mm": {"mean": 0.5}}, "inverse consistency error, mean mm"
        )
        == 0.5
    )
    assert metric({"landmark_error_mm": {"mean": None}}, "landmark error, mean mm") is None


@pytest.mark.parametrize(("error", "text"), [(1.25, "1.25 mm"), (0.00123, "0.0012 mm")])
def test_the_landmark_error_has_digits_in_any_unit_of_length(error: float, text: str) -> None:
    described = describe_row(row("a", error, seconds=2.0))
    assert described == f"a: 2.0 s, landmark error {text}"
