"""A claim of the paper: as good as a displacement of each voxel, with the same loss and steps."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cache import Figures
from benchmarks.studies.regularizer import scratch_settings
from benchmarks.study import Run, Study, tabulate
from benchmarks.unseen import PairSource, judge_each, register_each, summarize, unseen_shapes
from benchmarks.voxel_field import register_voxels
from itk_nephi.registration.settings import RegistrationSettings

RATES = (1e-3, 3e-3, 1e-2, 3e-2)


def measure(run: Run) -> Figures:
    """Register shapes at one resolution."""
    pairs = unseen_shapes(1 if run.quick else 10)
    settings = scratch_settings(run)
    options = {"initial_transform": "identity", "settings": settings}
    figures = {"NePhi": run.trial("shapes, NePhi", register_each, pairs=pairs, options=options)}
    for rate in run.first(RATES, 1):
        name = f"displacement of each voxel, learning rate {rate:g}"
        figures[name] = run.trial(
            f"shapes, {name}", displace_voxels, pairs=pairs, settings=settings, rate=rate
        )
    return figures


def rows_of(figures: Figures) -> list[list[str]]:
    """Return a row for each method."""
    return [[method, *summarize(trial["pairs"])] for method, trial in figures.items()]


def table(figures: Figures) -> str:
    """Return Dice, folding and time."""
    return tabulate(["field", "Dice", "folding %", "its worst", "seconds"], rows_of(figures))


def answer(figures: Figures) -> str:
    """Return a sentence on NePhi, and on the best learning rate that hardly folds."""
    nephi, *rows = rows_of(figures)
    unfolded = [row for row in rows if float(row[2]) < 1]
    best = max(unfolded or rows, key=lambda row: float(row[1]))
    return "; ".join(f"{row[0]}: Dice {row[1]}, {row[2]} % folded" for row in (nephi, best))


def displace_voxels(
    _folder: Path, *, pairs: PairSource, settings: RegistrationSettings, rate: float
) -> Figures:
    """Optimize a displacement of each voxel of each pair."""
    return judge_each(pairs, lambda pair: (register_voxels(pair, settings, rate, seed=0), None))


STUDY = Study(
    name="single-resolution",
    question="Is a neural field as good as a displacement of each voxel?",
    time="2 minutes, one core",
    measure=measure,
    table=table,
    page="claims.md",
)
