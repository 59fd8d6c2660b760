"""The default at random points with one choice changed: what it gains and costs."""

from __future__ import annotations

from functools import partial

from benchmarks.cache import Figures
from benchmarks.methods import errors_mm, nephi, run_methods
from benchmarks.pairs import lung_pair
from benchmarks.study import Run, Study, pair_up, tabulate
from itk_nephi.fields.settings import FieldSettings

DEFAULT = "default"

at_points = partial(nephi, similarity="local_ncc")
"""NePhi without B-splines, optimized at random points."""

CHANGES = {
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
    """Run each change on the lung pair, with masks, at the same seed."""
    return {"trials": run_methods(run, CHANGES, {"lung": lung_pair(run)})}


def table(figures: Figures) -> str:
    """Return error and processor time, and their differences from the default."""
    rows = []
    for change in (trial["method"] for trial in figures["trials"]):
        both = pair_up(figures["trials"], change, DEFAULT)
        if not both:
            rows.append([change, "failed", *"-----"])
            continue
        ((found, default),) = both
        errors = [errors_mm(trial).mean() for trial in (found, default)]
        seconds = [trial["cpu_seconds"] for trial in (found, default)]
        row = [change, f"{errors[0]:.3f}", f"{errors[0] - errors[1]:+.3f}"]
        row += [f"{found['folding_fraction']:.2g}", f"{found['log_jacobian_sd']:.3f}"]
        rows.append([*row, f"{seconds[0]:.0f}", f"{seconds[0] - seconds[1]:+.0f}"])
    header = ["change", "mean mm, without the outlier", "against the default, mm"]
    header += ["folding fraction", "SD of log Jacobian", "processor s", "against the default, s"]
    return tabulate(header, rows)


STUDY = Study(
    name="ablation",
    question="What does each choice of the default at random points gain and cost?",
    time="8 minutes, one core",
    measure=measure,
    table=table,
)
