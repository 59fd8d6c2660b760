"""NePhi's presets and elastix on fifty pairs of hippocampi of different subjects."""

from __future__ import annotations

import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import elastix, mean_dice, nephi, run_methods
from benchmarks.pairs import hippocampus_pairs
from benchmarks.study import (
    Run,
    Study,
    count_failures,
    mean_interval,
    pair_up,
    select,
    spread,
    tabulate,
)

PEER = "elastix"

METHODS = {PEER: elastix()} | {
    f"NePhi {preset}": nephi(preset, initial_transform="geometry") for preset in ("fast", "default")
}

LABELS = {"1": "Dice anterior", "2": "Dice posterior"}


def measure(run: Run) -> Figures:
    """Run elastix and NePhi, which starts with the grids' centers brought together."""
    return {"trials": run_methods(run, METHODS, hippocampus_pairs(run, 50, seed=0))}


def table(figures: Figures) -> str:
    """Return Dice and time, each with its paired difference from elastix."""
    rows = []
    for method in METHODS:
        done = select(figures["trials"], method=method)
        row = [method]
        row += [spread([t["dice"][n] for t in done if n in t["dice"]]) for n in LABELS]
        both = pair_up(figures["trials"], method, PEER)
        for value in (mean_dice, lambda trial: trial["seconds"]):
            row.append(f"{np.mean([value(mine) for mine, _ in both]):.3f}" if both else "-")
            gains = [value(mine) - value(other) for mine, other in both]
            row.append("-" if method == PEER else mean_interval(gains))
        row.append(spread([trial["folding_fraction"] for trial in done], 5))
        rows.append([*row, count_failures(figures["trials"], method=method)])
    header = ["method", *LABELS.values(), "mean Dice", "gain (95 % interval)", "mean s"]
    header += ["difference, s (95 % interval)", "folding fraction", "failed"]
    return tabulate(header, rows)


STUDY = Study(
    name="hippocampus",
    question="How well do subjects' hippocampi overlap, paired against elastix?",
    time="65 minutes, one core",
    measure=measure,
    table=table,
)
