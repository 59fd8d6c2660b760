"""Comparisons as tables, and paired differences between methods."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from itk_nephi.evaluation.statistics import bootstrap_interval, fewest_values, rounded

METRICS = {
    "landmark error, mean mm": ("landmark_error_mm", "mean"),
    "landmark error, 95th percentile mm": ("landmark_error_mm", "p95"),
    "Dice, mean": ("dice_mean",),
    "NCC": ("ncc",),
    "folding": ("folding_fraction",),
    "SD of log Jacobian": ("log_jacobian_sd",),
    "inverse consistency error, mean mm": ("inverse_consistency_error_mm", "mean"),
    "time s": ("seconds",),
    "CPU time s": ("cpu_seconds",),
    "memory MiB": ("peak_memory_mib",),
    "memory before MiB": ("memory_before_mib",),
}
"""What tables call a metric, and where a row of comparison.json has it."""


def describe_row(row: dict[str, Any]) -> str:
    """Return one line on how a method went."""
    if row["error"]:
        return f"{row['name']}: failed: {row['error']}"
    error = metric(row, "landmark error, mean mm")
    accuracy = "" if error is None else f", landmark error {rounded(error)} mm"
    return f"{row['name']}: {row['seconds']:.1f} s{accuracy}"


def tabulate(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a header and a line of text for each row: its metrics, Dice of each label, error."""
    labels = sorted({label for row in rows for label in row.get("dice", {})}, key=float)
    several = any("pair" in row for row in rows)
    lines = [
        (["pair"] if several else [])
        + ["method", *METRICS, "landmark error, median mm", "landmark error, largest mm"]
        + [f"Dice of {label}" for label in labels]
        + ["time of the process s", "error"]
    ]
    for row in rows:
        errors, overlaps = row.get("landmark_error_mm", {}), row.get("dice", {})
        values = [metric(row, name) for name in METRICS]
        values += [errors.get("median"), errors.get("max")]
        values += [overlaps.get(label) for label in labels] + [row.get("process_seconds")]
        lines.append(
            ([row["pair"]] if several else [])
            + [row["name"], *("" if v is None else f"{v:.4g}" for v in values), row["error"] or ""]
        )
    used = [n for n, column in enumerate(zip(*lines[1:], strict=True)) if any(column)]
    return [[line[n] for n in used] for line in lines]


def differences_in_markdown(differences: Sequence[dict[str, Any]]) -> str:
    """Return the paired differences as a table."""
    lines = [["metric", "difference", "pairs", "mean", "95 % interval"]] + [
        [
            d["metric"],
            f"{d['method']} - {d['other']}",
            str(d["pairs"]),
            f"{d['mean']:.4g}",
            "-" if d["low"] is None else f"{d['low']:.4g} to {d['high']:.4g}",
        ]
        for d in differences
    ]
    return (
        f"\nPaired differences, with bootstrap intervals where there are {fewest_values()} pairs "
        f"or more; those of fewer would be too narrow:\n\n{_markdown(lines)}"
    )


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    body = [escaped[0], ["---"] * len(escaped[0]), *escaped[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in body)


def write_comparison(
    folder: Path, result: dict[str, Any], lines: list[list[str]], further: str
) -> None:
    """Write comparison.json, .md and .csv; ``further`` follows the table in .md."""
    text = json.dumps(result, indent=2, allow_nan=False)
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
    (folder / "comparison.md").write_text(_markdown(lines) + further, encoding="utf-8")
    with (folder / "comparison.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def metric(row: dict[str, Any], name: str) -> float | None:
    """Return a metric of a method's row, None where it has none."""
    value: Any = row
    if name == "Dice, mean":
        overlaps = list(row.get("dice", {}).values())
        return float(np.mean(overlaps)) if overlaps else None
    for key in METRICS[name]:
        value = None if value is None else value.get(key)
    return value if value is None else float(value)


def paired_differences(pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare the methods, two at a time, on the pairs where both have a metric.

    Parameters
    ----------
    pairs : sequence of dict
        Each with ``methods``, as comparison.json of a pair has them.

    Returns
    -------
    list of dict
        ``metric``; ``method`` and ``other``; ``pairs``, the number of pairs; ``mean`` of the
        difference, method minus other, and its 95 % bootstrap interval ``low`` to ``high``, both
        None of too few pairs.
    """
    tables = [{row["name"]: row for row in pair["methods"]} for pair in pairs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    found = []
    for name in METRICS:
        for method, other in combinations(names, 2):
            values = [
                (metric(table[method], name), metric(table[other], name))
                for table in tables
                if {method, other} <= table.keys()
            ]
            differences = [a - b for a, b in values if a is not None and b is not None]
            if differences:
                low, high = bootstrap_interval(differences) or (None, None)
                found.append(
                    {
                        "metric": name,
                        "method": method,
                        "other": other,
                        "pairs": len(differences),
                        "mean": float(np.mean(differences)),
                        "low": low,
                        "high": high,
                    }
                )
    return found
