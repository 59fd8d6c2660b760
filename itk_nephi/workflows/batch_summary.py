"""The summary of a batch: a table, and a page to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from itk_nephi.io.errors import READING_ERRORS, plain_words
from itk_nephi.io.staging import staged
from itk_nephi.visualization.pages import render
from itk_nephi.workflows.batch import RECORD, PairOutcome

NUMBERS = {
    "ncc_before": ("before", "ncc"),
    "ncc_after": ("after", "ncc"),
    "landmark_error_before_mm": ("before", "landmark_error_mm", "mean"),
    "landmark_error_after_mm": ("after", "landmark_error_mm", "mean"),
    "dice_before": ("before", "dice"),
    "dice_after": ("after", "dice"),
    "folding_fraction": ("after", "folding_fraction"),
    "inverse_consistency_error_mm": ("after", "inverse_consistency_error_mm", "mean"),
    "seconds": ("seconds", "total"),
}
"""Columns of the summary, and where metrics.json has them; the mean where it has several."""

SUMMARY = ("summary.csv", "summary.html")
"""The files of a summary."""


def write_summary(output: Path, outcomes: Sequence[PairOutcome]) -> None:
    """Write summary.csv and summary.html of a batch, one row a pair in the table's order.

    Parameters
    ----------
    output : Path
        The folder with the pairs' folders.
    outcomes : sequence of PairOutcome
        How the pairs ended.
    """
    rows = [_row(output, outcome) for outcome in sorted(outcomes, key=lambda o: o.pair.row)]
    table, page = SUMMARY
    with staged(output, "--output") as stage:
        with (stage / table).open("w", newline="", encoding="utf-8") as file:
            columns = ["row", "name", "status", *NUMBERS, "remarks"]
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        (stage / page).write_text(_page(output, rows), encoding="utf-8")


def _row(output: Path, outcome: PairOutcome) -> dict[str, Any]:
    row = {"row": outcome.pair.row, "name": outcome.pair.name}
    if outcome.reason:
        return row | {"status": "failed", "remarks": outcome.reason}
    folder = output / outcome.pair.name
    try:
        metrics, record = (
            json.loads((folder / file).read_text(encoding="utf-8"))
            for file in ("metrics.json", RECORD)
        )
        numbers = {name: _number(metrics, keys) for name, keys in NUMBERS.items()}
        remarks = "; ".join(record["warnings"])
    except READING_ERRORS as error:
        reason = f"expected results in {folder}, got files that cannot be read"
        remarks = f"{reason}: {plain_words(error)}: delete the folder and start the batch again"
        return row | {"status": "failed", "remarks": remarks}
    known = {name: value for name, value in numbers.items() if value is not None}
    return row | {"status": "done", "remarks": remarks} | known


def _number(metrics: Any, keys: Sequence[str]) -> float | None:
    for key in keys:
        if metrics is not None:
            metrics = metrics.get(key)
    if isinstance(metrics, Mapping):
        return fmean(metrics.values())
    return None if metrics is None else float(metrics)


def _page(output: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    done = [row for row in rows if row["status"] == "done"]
    values = {name: [row[name] for row in done if name in row] for name in NUMBERS}
    means = {name: fmean(known) for name, known in values.items() if known}
    shown = {row["name"] for row in done if (output / row["name"] / "overview.png").exists()}
    return render("batch.html", rows=rows, done=done, means=means, shown=shown)
