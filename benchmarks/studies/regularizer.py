"""Claims of the paper about the regularizer: few points suffice, and what diffusion costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import mean_dice
from benchmarks.study import Run, Study, select, tabulate
from benchmarks.unseen import register_each, summarize, unseen_shapes
from itk_nephi.registration.settings import RegistrationSettings

GRADICON, DIFFUSION = "GradICON", "diffusion"


def scratch_settings(run: Run, steps: int = 200, **changes: Any) -> RegistrationSettings:
    """Return the settings of a registration at one resolution, without a model."""
    common: dict[str, Any] = {
        "similarity": "ncc",
        "smoothing_sigmas": (1.0,),
        "points_per_voxel": 1.0,
        "steps": steps,
    }
    return run.shortened(RegistrationSettings(**(common | changes)))


def measure_points(run: Run) -> Figures:
    """Register images of the paper's size with ever fewer points of the paper's regularizer.

    Few points suffice on average over the steps, so it takes more of these than other studies.
    """
    size = 128 if run.quick else 512
    pairs = unseen_shapes(1, size)
    base = scratch_settings(run, 600, smoothing_sigmas=(4.0,), inverse_consistency_weight=0.0)
    trials = []
    for ratio in run.first(range(2, 8), 2):
        count = size**2 // 4**ratio
        settings = replace(base, points=max(4_096, count), regularizer_points=count)
        for seed in range(1 if run.quick else 3):
            options = {"initial_transform": "identity", "settings": settings, "seed": seed}
            name = f"shapes, {count} points of the regularizer, seed {seed}"
            trial = run.trial(name, register_each, pairs=pairs, options=options)
            trials.append({"share": f"4^-{ratio}", "points": count} | trial)
    return {"trials": trials}


def points_rows(figures: Figures) -> list[list[str]]:
    """Return a row for each number of points."""
    rows = []
    for share, count in dict.fromkeys((t["share"], t["points"]) for t in figures["trials"]):
        trials = select(figures["trials"], share=share)
        means = [np.mean([mean_dice(pair) for pair in trial["pairs"]]) for trial in trials]
        dice, *others = summarize([pair for trial in trials for pair in trial["pairs"]])
        rows.append([share, str(count), dice, f"{min(means):.4f} to {max(means):.4f}", *others])
    return rows


def points_table(figures: Figures) -> str:
    """Return Dice, its range over seeds, folding and time."""
    header = ["share", "points", "Dice", "by seed", "folding %", "its worst", "seconds"]
    return tabulate(header, points_rows(figures))


def points_answer(figures: Figures) -> str:
    """Say Dice and folding at each share of points."""
    return "; ".join(f"{row[0]}: Dice {row[2]}, {row[4]} % folded" for row in points_rows(figures))


def measure_weights(run: Run) -> Figures:
    """Sweep the weights of two regularizers."""
    pairs = unseen_shapes(1 if run.quick else 5)
    base = scratch_settings(run, points=1000)
    none: dict[str, Any] = {"gradicon_weight": 0.0, "inverse_consistency_weight": 0.0}
    trials = []
    for name, field in ((DIFFUSION, "diffusion_weight"), (GRADICON, "gradicon_weight")):
        for weight in (0.2, 5.0) if run.quick else [5.0**power for power in range(-2, 5)]:
            settings = replace(base, **(none | {field: weight}))
            options = {"initial_transform": "identity", "settings": settings}
            label = f"shapes, {name} {weight:g}"
            trial = run.trial(label, register_each, pairs=pairs, options=options)
            trials.append({"regularizer": name, "weight": weight} | trial)
    return {"trials": trials}


def weights_rows(figures: Figures) -> list[list[str]]:
    """Return a row for each weight of each regularizer."""
    rows = []
    for trial in figures["trials"]:
        done = select(trial["pairs"])
        deviation = np.mean([pair["log_jacobian_sd"] for pair in done] or np.nan)
        row = [trial["regularizer"], f"{trial['weight']:g}", *summarize(done)]
        rows.append([*row, f"{deviation:.3f}", str(len(trial["pairs"]) - len(done))])
    return rows


def weights_table(figures: Figures) -> str:
    """Return Dice, folding, smoothness, and how many registrations diverged."""
    header = ["regularizer", "weight", "Dice", "folding %", "its worst", "seconds", "SD log J"]
    return tabulate([*header, "diverged"], weights_rows(figures))


def weights_answer(figures: Figures) -> str:
    """Return a sentence on the best weight of each without folding, and both at one smoothness."""
    rows = weights_rows(figures)
    unfolded = [row for row in rows if float(row[3]) < 0.01]
    best = {row[0]: row for row in sorted(unfolded, key=lambda row: float(row[2]))}
    told = [
        f"{name} Dice {row[2]} (weight {row[1]}, SD log J {row[6]})" for name, row in best.items()
    ]
    said = f"best with less than 0.01 % folded: {'; '.join(told) or 'none'}"
    if DIFFUSION not in best:
        return said
    swept = np.array(sorted((float(row[6]), float(row[2])) for row in rows if row[0] == GRADICON))
    as_smooth = np.interp(float(best[DIFFUSION][6]), swept[:, 0], swept[:, 1])
    return (
        f"{said}; as smooth as that diffusion, GradICON has Dice {as_smooth:.3f} (between weights)"
    )


POINTS = Study(
    name="regularizer-points",
    question="Do a few points suffice for the regularizer?",
    time="12 minutes, one core",
    measure=measure_points,
    table=points_table,
    page="claims.md",
)

WEIGHTS = Study(
    name="diffusion",
    question="Is GradICON better than a diffusion penalty?",
    time="3 minutes, one core",
    measure=measure_weights,
    table=weights_table,
    page="claims.md",
)
