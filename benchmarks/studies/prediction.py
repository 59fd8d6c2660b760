"""Claims of the paper about predictions of pairs that no training has seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache import Figures
from benchmarks.study import Run, Study, tabulate
from benchmarks.unseen import HIPPOCAMPUS, register_each, summarize, training_minutes, unseen_data
from itk_nephi.registration.settings import PresetName, RefinedName, RegistrationSettings

Options = dict[str, Any]

Methods = dict[str, tuple[Options | None, Path | None]]
"""Options of ``register``, or None to leave a pair as it is, and a model to predict by."""

BEFORE, PREDICTED, FROM_SCRATCH = "before", "predicted", "from scratch, default"

REFINEMENTS: dict[RefinedName, PresetName] = {
    "splines": "default",
    "code": "fast",
    "code_and_weights": "fast",
}
"""What refinements change, and the preset of each."""

REFINED = "+ "
"""What the names of refinements begin with."""


def measure(run: Run) -> Figures:
    """Compare predictions, their refinements and registrations from scratch."""
    fast = RegistrationSettings.preset("fast")
    counts = (2,) if run.quick else (10, 25, 50)
    figures: Figures = {"refinements": counts, "data": {}}
    for name, data in unseen_data(run).items():
        start: Options = {"initial_transform": data.initial_transform}
        methods: Methods = {BEFORE: (None, None), PREDICTED: (start, data.model)}
        for refine, preset in REFINEMENTS.items():
            for steps in counts:
                options = start | {"refine": refine, "refine_steps": steps, "preset": preset}
                label = f"{REFINED}{steps} steps, {refine.replace('_', ' ')}"
                methods[label] = (options, data.model)
        for steps in counts:
            last_level = replace(fast, steps=steps, smoothing_sigmas=fast.smoothing_sigmas[-1:])
            options = start | {"settings": last_level}
            methods[f"from scratch, {steps} steps"] = (options, None)
        for preset in ("fast", "default"):
            settings = run.shortened(RegistrationSettings.preset(preset))
            methods[f"from scratch, {preset}"] = (start | {"settings": settings}, None)
        figures["data"][name] = {
            method: run.trial(
                f"{name}, {method}",
                register_each,
                pairs=data.pairs,
                options=options,
                model=model,
            )
            for method, (options, model) in methods.items()
        }
        if name == HIPPOCAMPUS:
            figures["training_minutes"] = {name: training_minutes(data.model)}
    return figures


def table(figures: Figures) -> str:
    """Return Dice, folding and time of each method."""
    rows = [
        [name, method, *summarize(trial["pairs"])]
        for name, methods in figures["data"].items()
        for method, trial in methods.items()
    ]
    return tabulate(["data", "method", "Dice", "folding %", "its worst", "seconds"], rows)


def answer(figures: Figures) -> str:
    """Say what the predictions gain, and how long they take."""
    told = []
    for name, methods in figures["data"].items():
        summaries = {method: summarize(trial["pairs"]) for method, trial in methods.items()}
        dice, folding, _, seconds = (
            {method: float(summary[column]) for method, summary in summaries.items()}
            for column in range(4)
        )
        gain = (dice[PREDICTED] - dice[BEFORE]) / (dice[FROM_SCRATCH] - dice[BEFORE])
        folds = {
            method: np.array([pair["folding_fraction"] for pair in trial["pairs"]])
            for method, trial in methods.items()
        }
        more = [folds[m] > folds[PREDICTED] for m in methods if m.startswith(REFINED)]
        refined = f"{REFINED}{figures['refinements'][-1]} steps, splines"
        told.append(
            f"{name}: Dice {dice[BEFORE]:.3f} before, {dice[PREDICTED]:.3f} predicted, "
            f"{dice[FROM_SCRATCH]:.3f} from scratch: {gain:.1%} of the gain in "
            f"{seconds[PREDICTED] / seconds[FROM_SCRATCH]:.1%} of the time; {refined}: "
            f"{dice[refined]:.3f}, folding {folding[PREDICTED]} % predicted and "
            f"{folding[refined]} % refined, more than predicted in {np.sum(more)} of "
            f"{np.size(more)} refinements"
        )
    return "; ".join(told)


def measure_folds(run: Run) -> Figures:
    """Return folding on a grid twice as fine, and inverse consistency errors."""
    steps = 2 if run.quick else 50
    figures: Figures = {}
    for name, data in unseen_data(run).items():
        for count in (0, steps):
            options = {"initial_transform": data.initial_transform, "preset": "default"}
            figures[f"{name}|predicted + {count} steps"] = run.trial(
                f"{name}, folds after {count} steps",
                register_each,
                pairs=data.pairs,
                options=options | {"refine_steps": count},
                model=data.model,
                refinement=2,
            )
    return figures


def folds_table(figures: Figures) -> str:
    """Return folding fractions and inverse consistency errors, mean and worst."""
    rows = []
    for name, trial in figures.items():
        folded = [100 * pair["folding_fraction"] for pair in trial["pairs"]]
        errors = [pair["inverse_consistency_error_mm"]["mean"] for pair in trial["pairs"]]
        row = [*name.split("|"), f"{np.mean(folded):.5f}", f"{max(folded):.4f}"]
        rows.append([*row, f"{np.mean(errors):.3f}", f"{max(errors):.3f}"])
    header = ["data", "method", "folding %", "its worst", "inverse consistency mm", "its worst"]
    return tabulate(header, rows)


def folds_answer(figures: Figures) -> str:
    """Return a sentence on folding and the inverse consistency error."""
    rows = [line.strip("| ").split(" | ") for line in folds_table(figures).splitlines()[2:]]
    return "; ".join(
        f"{name}, {method}: {folded} % folded, {error} mm inverse consistency error"
        for name, method, folded, _, error, _ in rows
    )


STUDY = Study(
    name="prediction",
    question="Does a model predict unseen pairs at once?",
    time="one hour, one core, of it 42 minutes of training",
    measure=measure,
    table=table,
    page="claims.md",
)

DIFFEOMORPHIC = Study(
    name="diffeomorphic",
    question="Are predictions approximately diffeomorphic?",
    time="5 minutes, one core, after `prediction`",
    measure=measure_folds,
    table=folds_table,
    page="claims.md",
)
