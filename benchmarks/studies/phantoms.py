"""NePhi and elastix on a large motion, with masks and without, and on shapes."""

from __future__ import annotations

import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import elastix, mean_dice, nephi, run_methods
from benchmarks.pairs import SMALL, shape_pairs, write_phantom
from benchmarks.study import Run, Study, count_failures, largest, select, spread, tabulate
from itk_nephi.phantoms.pairs import lung

METHODS = {"elastix": elastix(), "NePhi default": nephi()}


def measure(run: Run) -> Figures:
    """Run both on a chest with a motion of 30 mm, and on ten pairs of shapes."""
    size = SMALL if run.quick else None
    chest = {"chest": write_phantom(lung(3, size=size).pair, run.folder / "pairs" / "chest")}
    shapes = shape_pairs(run, 1 if run.quick else 10)
    return {
        "chest, 30 mm, masks": run_methods(run, METHODS, chest),
        "chest, 30 mm, no masks": run_methods(run, METHODS, chest, masks=False),
        "triangles and circles": run_methods(run, METHODS, shapes),
    }


def table(figures: Figures) -> str:
    """Return errors where the motion is known, Dice, folding and time."""
    rows = []
    for phantom, trials in figures.items():
        for method in METHODS:
            done = select(trials, method=method)
            errors = [np.mean(t["landmark_errors_mm"]) for t in done if "landmark_errors_mm" in t]
            row = [phantom, method, spread(errors), spread([mean_dice(trial) for trial in done])]
            row.append(largest([trial["folding_fraction"] for trial in done]))
            row.append(spread([trial["seconds"] for trial in done], 1))
            rows.append([*row, count_failures(trials, method=method)])
    header = ["phantom", "method", "landmark error mm", "Dice", "largest folding fraction", "s"]
    return tabulate([*header, "failed"], rows)


STUDY = Study(
    name="phantoms",
    question="How far can motion go, and shapes that differ?",
    time="5 minutes, one core",
    measure=measure,
    table=table,
)
