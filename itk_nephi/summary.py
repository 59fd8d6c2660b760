"""The summary of a batch: a table, and a page to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from itk_nephi.batch import RECORD, Outcome
from itk_nephi.files import staged

NUMBERS = {
    "similarity_before": ("similarity", "before"),
    "similarity_after": ("similarity", "after"),
    "landmark_error_before_mm": ("landmark_error_mm", "before", "mean"),
    "landmark_error_after_mm": ("landmark_error_mm", "after", "mean"),
    "dice_before": ("dice", "before"),
    "dice_after": ("dice", "after"),
    "folding_fraction": ("folding_fraction",),
    "inverse_consistency_error_mm": ("inverse_consistency_error_mm", "mean"),
    "seconds": ("seconds", "total"),
}
"""Columns of the summary, and where metrics.json has them; the mean where it has several."""
_STYLE = """
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #bbb; padding: 0.3em 0.7em; text-align: right; }
th:nth-child(-n + 3), td:nth-child(-n + 3), td:last-child { text-align: left; }
tr.failed { font-weight: bold; }
tfoot { font-style: italic; }
"""


def write_summary(output: Path, outcomes: Sequence[Outcome]) -> None:
    """Write summary.csv and summary.html of a batch, one row a pair in the table's order.

    Parameters
    ----------
    output : Path
        The folder with the pairs' folders.
    outcomes : sequence of Outcome
        How the pairs ended.
    """
    rows = [_row(output, outcome) for outcome in sorted(outcomes, key=lambda o: o.pair.row)]
    with staged(output, "--output") as stage:
        with (stage / "summary.csv").open("w", newline="", encoding="utf-8") as file:
            columns = ["row", "name", "status", *NUMBERS, "remarks"]
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        (stage / "summary.html").write_text("\n".join(_page(rows)) + "\n", encoding="utf-8")


def _row(output: Path, outcome: Outcome) -> dict[str, Any]:
    row = {"row": outcome.pair.row, "name": outcome.pair.name}
    if outcome.reason:
        return row | {"status": "failed", "remarks": outcome.reason}
    folder = output / outcome.pair.name
    metrics, record = (
        json.loads((folder / file).read_text(encoding="utf-8")) for file in ("metrics.json", RECORD)
    )
    numbers = {name: _number(metrics, keys) for name, keys in NUMBERS.items()}
    return (
        row
        | {"status": "done", "remarks": "; ".join(record["warnings"])}
        | {name: value for name, value in numbers.items() if value is not None}
    )


def _number(metrics: Any, keys: Sequence[str]) -> float | None:
    for key in keys:
        if metrics is not None:
            metrics = metrics.get(key)
    if isinstance(metrics, Mapping):
        return fmean(metrics.values())
    return None if metrics is None else float(metrics)


def _page(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    done = [row for row in rows if row["status"] == "done"]
    shown = {name: name.replace("_", " ") for name in NUMBERS if any(name in row for row in done)}
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8"><title>itk-nephi batch</title>'
    yield f"<style>{_STYLE}</style></head><body>"
    yield f"<h1>{len(done)} of {len(rows)} pairs registered</h1>"
    header = "".join(f"<th>{label}</th>" for label in ("row", "pair", "status", *shown.values()))
    yield f"<table><thead><tr>{header}<th>remarks</th></tr></thead><tbody>"
    for row in rows:
        name = escape(row["name"])
        link = f'<a href="{quote(row["name"])}/overview.png">{name}</a>' if row in done else name
        numbers = "".join(f"<td>{_text(row.get(name))}</td>" for name in shown)
        yield (
            f'<tr class="{row["status"]}"><td>{row["row"]}</td><td>{link}</td>'
            f"<td>{row['status']}</td>{numbers}<td>{escape(row['remarks'])}</td></tr>"
        )
    means = {name: [row[name] for row in done if name in row] for name in shown}
    cells = "".join(f"<td>{_text(fmean(values))}</td>" for values in means.values())
    yield f"</tbody><tfoot><tr><td></td><td>mean</td><td></td>{cells}<td></td></tr></tfoot></table>"
    yield "</body></html>"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
