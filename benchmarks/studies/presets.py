"""NePhi's presets and elastix on the lung pair, seed after seed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import elastix, errors_mm, memory_beyond, nephi, run_methods
from benchmarks.pairs import Pair, lung_pair, read_landmarks
from benchmarks.study import Run, Study, largest, select, spread, tabulate
from itk_nephi.evaluation import Statistics
from itk_nephi.spatial.domain import ImageDomain

FAST = {"elastix": elastix(), "NePhi fast": nephi("fast"), "NePhi default": nephi()}

SLOW = {"NePhi accurate": nephi("accurate")}

HEADER = [
    "mean mm, without the outlier",
    "mean mm, all 51",
    "median mm",
    "p95 mm",
    "largest folding fraction, grid twice as fine",
    "SD of log Jacobian",
    "s",
    "MiB beyond images and libraries",
]


def measure(run: Run) -> Figures:
    """Run elastix and the presets with masks, five seeds, and without, two."""
    pair = lung_pair(run)
    masked = run_methods(run, FAST, {"lung": pair}, 5) + run_methods(run, SLOW, {"lung": pair}, 2)
    bare = run_methods(run, FAST, {"lung, no masks": pair}, 2, masks=False)
    rounding = run.trial("landmarks rounded", round_landmarks, pair=pair)
    return {"masks": masked, "no-masks": bare, "rounding": rounding}


def table(figures: Figures) -> str:
    """Return errors, smoothness, time and memory, and what a perfect map would reach."""
    rows = [
        [f"{method}, {masks}", *describe(select(figures[masks], method=method))]
        for masks, methods in (("masks", FAST | SLOW), ("no-masks", FAST))
        for method in methods
    ]
    for name, found in figures["rounding"].items():
        mean, *others = (f"{found[value]:.3f}" for value in ("mean", "median", "p95"))
        numbers = [mean, "-", *others]
        rows.append([f"a perfect map, {name} landmarks rounded", *numbers, *"----"])
    return tabulate(["method", *HEADER], rows)


def describe(trials: list[Figures]) -> list[str]:
    """Return the columns of ``HEADER``."""
    errors = [errors_mm(trial, outlier=True) for trial in trials]
    return [
        spread([errors_mm(trial).mean() for trial in trials]),
        spread([e.mean() for e in errors]),
        spread([np.median(e) for e in errors]),
        spread([np.percentile(e, 95) for e in errors]),
        largest([trial["folding_fraction"] for trial in trials]),
        spread([trial["log_jacobian_sd"] for trial in trials]),
        spread([trial["seconds"] for trial in trials], 1),
        spread([memory_beyond(trial) for trial in trials], 0),
    ]


def round_landmarks(_folder: Any, *, pair: Pair) -> Figures:
    """Return mean, median and p95, mm, that a perfect map would reach with rounded landmarks."""
    landmarks = read_landmarks(pair)
    generator = np.random.default_rng(0)
    moving, fixed = (
        grid_steps(points, ImageDomain.of(itk.imread(pair[name])))
        * (generator.random((100_000, 3)) - 0.5)
        for name, points in (("moving", landmarks[1]), ("fixed", landmarks[0]))
    )
    found = {}
    for name, shifts in (("moving", moving), ("all", moving + fixed)):
        found[name] = asdict(Statistics.of(np.linalg.norm(shifts, axis=1)))
    return found


def grid_steps(points: Any, domain: ImageDomain) -> Any:
    """Return the steps of the grid, mm, on which landmarks of an image were marked, per axis.

    A voxel, or the largest half, quarter ... of one whose multiples they all are.
    """
    index = domain.index_from_points(points)
    parts = np.ones(domain.dimension)
    for axis in range(domain.dimension):
        while parts[axis] < 64 and np.abs(index[:, axis] * parts[axis] % 1 - 0.5).min() < 0.49:
            parts[axis] *= 2
    return np.array(domain.spacing) / parts


STUDY = Study(
    name="presets",
    question="What do the presets gain and cost against elastix, seed after seed?",
    time="12 minutes, two cores",
    measure=measure,
    table=table,
)
