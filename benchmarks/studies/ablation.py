"""The default, and that at random points, with one choice changed: what it gains and costs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import errors_mm, nephi, run_methods
from benchmarks.pairs import brain_pairs, hippocampus_pairs, lung_pair
from benchmarks.studies.detail import score
from benchmarks.study import Run, Study, pair_up, tabulate
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.registration.settings import RegistrationSettings

DEFAULT = "default"

SPLINES = RegistrationSettings.preset("default").field.spline_spacings

ON_LATTICE = {
    DEFAULT: nephi(),
    "no network": nephi(network_learning_rate=0.0, code_learning_rate=0.0),
    "network of the paper": nephi(field=replace(FieldSettings.paper(), spline_spacings=SPLINES)),
    "no B-splines": nephi(spline_spacings=()),
    "B-splines with cells of 6 voxels or more": nephi(spline_spacings=SPLINES[:-1]),
    "windows of 3 points": nephi(window_radius=1),
    "windows of 7 points": nephi(window_radius=3),
    "local NCC at random points": nephi(similarity="local_ncc"),
    "two levels fewer, the coarsest": nephi(
        smoothing_sigmas=(2.0, 1.0, 0.5), spline_spacings=SPLINES[2:]
    ),
    "no GradICON": nephi(gradicon_weight=0.0),
    "no inverse consistency": nephi(inverse_consistency_weight=0.0),
    "no weight of strain": nephi(spline_weight=0.0),
    "half the steps": nephi(steps=12),
    "twice the steps": nephi(steps=50),
}

at_points = partial(nephi, similarity="local_ncc")
"""NePhi without B-splines, optimized at random points."""

AT_POINTS = {
    DEFAULT: at_points(),
    "published network": at_points(field=FieldSettings.paper()),
    "16 frequencies": at_points(field=FieldSettings(frequencies=16)),
    "no global code": at_points(field=FieldSettings(global_code=0)),
    "latent grid 8": at_points(field=FieldSettings(local_grid=8)),
    "NCC instead of local NCC": at_points(similarity="ncc"),
    "one level, smoothing 1": at_points(smoothing_sigmas=(1.0,), steps=300),
    "three levels, smoothing 4, 2, 1": at_points(smoothing_sigmas=(4.0, 2.0, 1.0), steps=100),
    "half the points": at_points(points=2_500),
    "no inverse consistency": at_points(inverse_consistency_weight=0.0),
    "no GradICON": at_points(gradicon_weight=0.0),
    "diffusion instead of GradICON": at_points(gradicon_weight=0.0, diffusion_weight=0.5),
    "bending instead of GradICON": at_points(gradicon_weight=0.0, bending_weight=5.0),
    "a quarter of the regularizer's points": at_points(regularizer_points=62),
}


def measure(run: Run) -> Figures:
    """Run each change on a brain, the lung with masks and hippocampi, at the same seed."""
    lungs = {"lung": lung_pair(run)}
    hippocampi = hippocampus_pairs(run, 5, seed=0)
    brains = hippocampi if run.quick else dict(list(brain_pairs().items())[:1])
    return {
        "brain": run_methods(run, ON_LATTICE, brains, masks=False),
        "lung": run_methods(run, ON_LATTICE, lungs),
        "hippocampi": run_methods(run, ON_LATTICE, hippocampi),
        "at points": run_methods(run, AT_POINTS, lungs),
    }


def table(figures: Figures) -> str:
    """Return the tables of the default and of that at random points."""
    return "\n\n".join([_table_on_lattice(figures), _table_at_points(figures["at points"])])


def _table_on_lattice(figures: Figures) -> str:
    """Return quality, smoothness and time on all data, and the quality's change."""
    data = ("brain", "lung", "hippocampi")
    rows = []
    for change in dict.fromkeys(trial["method"] for trial in figures["brain"]):
        row, folds = [change], 0.0
        for name in data:
            both = pair_up(figures[name], change, DEFAULT)
            if not both:
                row += ["failed", "-", "-"]
                continue
            scores = np.array([[score(name, trial) for trial in pair] for pair in both])
            found = [trial for trial, _ in both]
            gain = float(np.mean(scores[:, 0] - scores[:, 1]))
            digits = 3 if name == "lung" else 4
            row.append(f"{scores[:, 0].mean():.{digits}f} ({gain:+.{digits}f})")
            row.append(f"{np.mean([trial['log_jacobian_sd'] for trial in found]):.3f}")
            row.append(f"{np.mean([trial['cpu_seconds'] for trial in found]):.0f}")
            folds = max(folds, *(trial["folding_fraction"] for trial in found))
        rows.append([*row, f"{100 * folds:.4f}"])
    header = ["change"]
    for name in data:
        quality = "mean mm" if name == "lung" else "Dice"
        header += [f"{name}, {quality}", "SD of log Jacobian", "processor s"]
    return tabulate([*header, "most folds, %"], rows)


def _table_at_points(trials: list[Figures]) -> str:
    """Return error and processor time, and their differences from the default."""
    rows = []
    for change in (trial["method"] for trial in trials):
        both = pair_up(trials, change, DEFAULT)
        if not both:
            rows.append([change, "failed", *"-----"])
            continue
        ((found, default),) = both
        errors = [errors_mm(trial).mean() for trial in (found, default)]
        seconds = [trial["cpu_seconds"] for trial in (found, default)]
        row = [change, f"{errors[0]:.3f}", f"{errors[0] - errors[1]:+.3f}"]
        row += [f"{found['folding_fraction']:.2g}", f"{found['log_jacobian_sd']:.3f}"]
        rows.append([*row, f"{seconds[0]:.0f}", f"{seconds[0] - seconds[1]:+.0f}"])
    header = ["change at random points", "mean mm, without the outlier", "against the default, mm"]
    header += ["folding fraction", "SD of log Jacobian", "processor s", "against the default, s"]
    return tabulate(header, rows)


STUDY = Study(
    name="ablation",
    question="What does each choice of the default gain and cost?",
    time="40 minutes, one core",
    measure=measure,
    table=table,
)
