"""The presets and their peers on brains, hippocampi, lungs and sections: quality and time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cache import Figures
from benchmarks.methods import Method, elastix, errors_mm, mean_dice, nephi, run_methods
from benchmarks.pairs import brain_pairs, hippocampus_pairs, lung_pair, section_pairs
from benchmarks.study import Run, Study, count_failures, mean_interval, pair_up, select, tabulate

PEER = "greedy"

METHODS = {
    PEER: Method(name="greedy"),
    "greedy, its own start": Method(name="greedy", initial_transform="greedy, centers"),
    "NePhi default": nephi(),
    "NePhi fast": nephi("fast"),
    "NePhi accurate": nephi("accurate"),
    "ANTs": Method(name="ants"),
    "elastix": elastix(),
}

QUICK = {name: method for name, method in METHODS.items() if name != "elastix"}
"""Without the one that takes most of a minute for each pair."""

STYLES = {PEER: "s", "greedy, its own start": "D", "ANTs": "v", "elastix": "^"}

OF_LANDMARKS = "landmark error"

LARGEST_ERROR = 2
"""The largest error that has a point of its own in the picture, of the smallest."""


def measure(run: Run) -> Figures:
    """Run all methods on all pairs, on one core; brains, which are cut out, without masks."""
    lungs = {"lung": lung_pair(run)}
    hippocampi = hippocampus_pairs(run, 50, seed=0)
    brains = hippocampi if run.quick else brain_pairs()
    sections = section_pairs(run)
    return {
        "brains": run_methods(run, METHODS, brains, masks=False),
        **{name: run_methods(run, METHODS, {name: pair}) for name, pair in sections.items()},
        "lung, masks": run_methods(run, METHODS, lungs, seeds=5),
        "lung": run_methods(run, METHODS, lungs, masks=False),
        "hippocampi": run_methods(run, QUICK, hippocampi),
    }


def score(data: str, trial: Figures) -> float:
    """Return the mean Dice of a trial, or its mean landmark error, mm or pixels."""
    if trial.get("dice"):
        return mean_dice(trial)
    return float(errors_mm(trial, outlier=not data.startswith("lung")).mean())


def table(figures: Figures) -> str:
    """Return quality, its paired difference from greedy's, smoothness, folding and time."""
    rows = []
    for data, trials in figures.items():
        for method in METHODS:
            done = select(trials, method=method)
            if not done and any(each["method"] == method for each in trials):
                rows.append([data, method, *"------", count_failures(trials, method=method)])
            if not done:
                continue
            scores = [score(data, trial) for trial in done]
            gains = [
                score(data, mine) - score(data, other)
                for mine, other in pair_up(trials, method, PEER)
            ]
            rows.append(
                [
                    data,
                    method,
                    f"{np.mean(scores):.4f}" if done[0].get("dice") else f"{np.mean(scores):.3f}",
                    "-"
                    if method == PEER
                    else mean_interval(gains, 4 if done[0].get("dice") else 3),
                    f"{np.mean([trial['log_jacobian_sd'] for trial in done]):.3f}",
                    f"{100 * np.mean([trial['folding_fraction'] for trial in done]):.4f}",
                    f"{np.mean([trial['seconds'] for trial in done]):.1f}",
                    f"{np.mean([trial['peak_memory_mib'] for trial in done]):.0f}",
                    count_failures(trials, method=method),
                ]
            )
    header = [
        "data",
        "method",
        "mean Dice, or landmark error",
        "gain over greedy (95 %, of six or more)",
    ]
    header += ["SD of log Jacobian", "folds, %", "s", "MiB", "failed"]
    return tabulate(header, rows)


def draw(figures: Figures) -> Figure:
    """Draw quality against time, a panel for each kind of data."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    columns = -(-len(figures) // 2)
    panels = figure.subplots(2, columns).ravel()
    for axes, (data, trials) in zip(panels, figures.items(), strict=False):
        _draw_panel(axes, data, trials)
    for axes in panels[len(figures) :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(METHODS))
    return figure


def _draw_panel(axes: Axes, data: str, trials: list[Figures]) -> None:
    """Draw a point for each method; errors beyond the axis at its edge, with their number."""
    done = {method: select(trials, method=method) for method in METHODS}
    done = {method: each for method, each in done.items() if each}
    scores = {m: float(np.mean([score(data, trial) for trial in each])) for m, each in done.items()}
    is_dice = any(trial.get("dice") for each in done.values() for trial in each)
    edge = 1.0 if is_dice else LARGEST_ERROR * min(scores.values())
    for method, each in done.items():
        seconds = float(np.mean([trial["seconds"] for trial in each]))
        at = (seconds, min(scores[method], edge))
        axes.plot(*at, STYLES.get(method, "o"), label=method)
        if scores[method] > edge:
            number = f"{scores[method]:.0f}"
            axes.annotate(number, at, (0, 7), textcoords="offset points", fontsize=8, ha="center")
    axes.set(title=data, xlabel="s")
    if is_dice:
        axes.set_ylabel("mean Dice")
    else:
        axes.set_ylabel(f"{OF_LANDMARKS}, {'mm' if 'lung' in data else 'pixels'}")
        axes.invert_yaxis()
    axes.margins(0.2)
    axes.set_xlim(left=0)


STUDY = Study(
    name="detail",
    question="How good are the presets in which time, beside greedy, ANTs and elastix?",
    time="90 minutes, one core",
    measure=measure,
    table=table,
    figure=draw,
)
