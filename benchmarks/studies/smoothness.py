"""Landmark error against smoothness: a choice of NePhi's, elastix's and greedy's, each swept."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.cache import Figures
from benchmarks.methods import Method, elastix, errors_mm, nephi, run_methods
from benchmarks.pairs import lung_pair
from benchmarks.study import Run, Study, select, tabulate

SWEEPS = {
    "NePhi": {
        f"spline_weight {value:g}": nephi(spline_weight=value)
        for value in (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    },
    "elastix": {f"grid of {value:g} mm": elastix(value) for value in (7.0, 10.0, 14.0, 20.0, 40.0)},
    "greedy": {
        f"smoothing {value:g}": Method(name="greedy", greedy=f"-s {2.4 * value:g}vox {value:g}vox")
        for value in (0.35, 0.7, 1.4, 2.8, 5.6)
    },
}
"""greedy smooths its steps by 1.7 voxels and their sum by 0.7, unless it is told."""

STYLES = {
    "NePhi": ("o-", (-8, -11), "spline_weight"),
    "elastix": ("s--", (0, 9), "spacing of its grid, mm"),
    "greedy": ("D:", (0, 9), "smoothing of its displacements, voxels"),
}
"""How a curve is drawn, where its labels stand, points, and what they say."""


def measure(run: Run) -> Figures:
    """Run the sweeps on the lung pair, with masks."""
    pairs = {"lung": lung_pair(run)}
    return {name: run_methods(run, methods, pairs) for name, methods in SWEEPS.items()}


def table(figures: Figures) -> str:
    """Return error, smoothness and folding."""
    rows = []
    for name, trials in figures.items():
        for trial in trials:
            rows.append([f"{name}, {trial['method']}"])
            if "error" in trial:
                rows[-1] += ["failed", *"--"]
                continue
            rows[-1] += [f"{errors_mm(trial).mean():.3f}", f"{trial['log_jacobian_sd']:.3f}"]
            rows[-1].append(f"{trial['folding_fraction']:.2g}")
    header = ["method", "mean mm, without the outlier", "SD of log Jacobian", "folding fraction"]
    return tabulate(header, rows)


def draw(figures: Figures) -> Figure:
    """Draw error against smoothness."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for name, trials in figures.items():
        style, aside, what = STYLES[name]
        done = select(trials)
        places = [(trial["log_jacobian_sd"], errors_mm(trial).mean()) for trial in done]
        axes.plot(*zip(*places, strict=True), style, label=f"{name}, {what}")
        for trial, place in zip(done, places, strict=True):
            label = next(word for word in trial["method"].split() if word[0].isdigit())
            axes.annotate(label, place, aside, textcoords="offset points", fontsize=8, ha="center")
    axes.set(
        xlabel="standard deviation of the log Jacobian",
        ylabel="landmark error, mm, without the outlier",
    )
    axes.margins(x=0.1, y=0.1)  # leaves room for the labels
    axes.legend()
    return figure


STUDY = Study(
    name="smoothness",
    question="How smooth are transforms of the same landmark error?",
    time="20 minutes, one core",
    measure=measure,
    table=table,
    figure=draw,
)
