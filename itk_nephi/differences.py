"""Paired differences between methods over several image pairs, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from itk_nephi.statistics import bootstrap_interval

METRICS = {
    "landmark error, mean mm": ("landmark_error_mm", "mean"),
    "landmark error, 95th percentile mm": ("landmark_error_mm", "p95"),
    "Dice, mean": ("dice_mean",),
    "folding": ("folding_fraction",),
    "SD of log Jacobian": ("log_jacobian_sd",),
    "inverse consistency error, mean mm": ("inverse_consistency_error_mm", "mean"),
    "time s": ("seconds",),
    "CPU time s": ("cpu_seconds",),
    "memory MiB": ("peak_memory_mib",),
    "memory before MiB": ("memory_before_mib",),
}
"""What tables call a metric, and where a row of comparison.json has it."""


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
        difference, method minus other, and its 95 % bootstrap interval ``low`` to ``high``.
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
                low, high = bootstrap_interval(differences)
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
