"""Methods side by side on a real lung: the README's table."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.cache import Figures
from benchmarks.methods import Method, run_methods
from benchmarks.pairs import lung_pair
from benchmarks.study import Run, Study, tabulate
from itk_nephi.visualization.plots import draw_methods
from itk_nephi.workflows.comparison_table import metric

METHODS = {name: Method(name=name) for name in ("nephi", "elastix", "demons", "ants")}
"""What `pip install 'itk-nephi[compare]'` brings, and what needs nothing else."""

COLUMNS = {
    "landmark error, mean mm": "landmark error, mm",
    "landmark error, 95th percentile mm": "its p95",
    "Dice, mean": "Dice",
    "folding": "folding",
    "SD of log Jacobian": "SD of log Jacobian",
    "inverse consistency error, mean mm": "inverse consistency, mm",
    "time s": "s",
    "memory MiB": "MiB",
}
"""Of the metrics of a comparison, what the tables call them."""

SHORT = ("landmark error, mean mm", "landmark error, 95th percentile mm", "folding", "time s")


def measure(run: Run) -> Figures:
    """Run the methods on the lung pair, with its masks."""
    return {"trials": run_methods(run, METHODS, {"lung": lung_pair(run)})}


def table(figures: Figures) -> str:
    """Return the metrics of each method."""
    return _table(figures, [name for name in COLUMNS if name != "Dice, mean"], list(METHODS))


def short(figures: Figures) -> str:
    """Return the errors, folding and times of NePhi, elastix and ANTs."""
    return _table(figures, list(SHORT), ["nephi", "elastix", "ants"])


def draw(figures: Figures) -> Figure:
    """Draw landmark errors and times."""
    return draw_methods([{"name": trial["method"]} | trial for trial in figures["trials"]])


def rounded(value: float) -> str:
    """Return three digits of a number, or all before its point."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".")


def _table(figures: Figures, names: list[str], methods: list[str]) -> str:
    rows = []
    for trial in figures["trials"]:
        if trial["method"] not in methods:
            continue
        values = [None if "error" in trial else metric(trial, name) for name in names]
        cells = ["-" if value is None else rounded(value) for value in values]
        rows.append([trial["method"], *cells])
        rows[-1][1] = trial.get("error", rows[-1][1])
    return tabulate(["method", *(COLUMNS[name] for name in names)], rows)


STUDY = Study(
    name="lung",
    question="How does NePhi compare with elastix, demons and ANTs on a real lung?",
    time="3 minutes, one core",
    measure=measure,
    table=table,
    short=short,
    figure=draw,
)
