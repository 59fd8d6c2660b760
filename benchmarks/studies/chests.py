"""Methods side by side on breathing chests whose true motion is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import run_methods
from benchmarks.pairs import write_phantom
from benchmarks.studies.lung import COLUMNS, METHODS, rounded
from benchmarks.study import Run, Study, mean_interval, pair_up, select, tabulate
from itk_nephi.phantoms.pairs import lung
from itk_nephi.workflows.comparison_table import metric

CHESTS: tuple[dict[str, Any], ...] = (
    {"dimension": 3, "size": (96, 80, 72), "motion": 12.0, "seed": 11},
    {"dimension": 3, "size": (112, 96, 64), "motion": 20.0, "seed": 12},
    {"dimension": 3, "size": (80, 88, 96), "motion": 16.0, "noise": 60.0, "seed": 13},
    {"dimension": 2, "size": (208, 160), "motion": 24.0, "seed": 14},
    {"dimension": 2, "size": (144, 144), "motion": 20.0, "noise": 60.0, "seed": 15},
)

ERROR = "landmark error, mean mm"


def measure(run: Run) -> Figures:
    """Run the methods without masks: elastix finds too few samples in those of small images."""
    chests = ({"dimension": 2, "size": (48, 40), "seed": 14},) if run.quick else CHESTS
    pairs = {
        f"chest-{number}": write_phantom(
            lung(**chest).pair, run.folder / "pairs" / f"chest-{number}"
        )
        for number, chest in enumerate(chests)
    }
    return {"pairs": len(pairs), "trials": run_methods(run, METHODS, pairs, masks=False)}


def table(figures: Figures) -> str:
    """Return the mean metrics of each method, and its error beyond NePhi's."""
    rows = []
    for method in METHODS:
        done = select(figures["trials"], method=method)
        row = [method, f"{len(done)} of {figures['pairs']}"]
        for name in COLUMNS:
            known = [value for trial in done if (value := metric(trial, name)) is not None]
            row.append(rounded(float(np.mean(known))) if known else "-")
        both = pair_up(figures["trials"], method, "nephi")
        beyond = [
            (metric(one, ERROR) or 0.0) - (metric(other, ERROR) or 0.0) for one, other in both
        ]
        rows.append([*row, "" if method == "nephi" else mean_interval(beyond, 2)])
    header = [
        "method",
        "done",
        *COLUMNS.values(),
        "error beyond NePhi's, mm (95 %, of six or more)",
    ]
    return tabulate(header, rows)


STUDY = Study(
    name="chests",
    question="And on phantoms whose true motion is known?",
    time="5 minutes, one core",
    measure=measure,
    table=table,
)
