"""Other representations of a deformation in the same optimizer."""

from __future__ import annotations

from functools import partial

from benchmarks.cache import Figures
from benchmarks.methods import errors_mm, nephi, run_methods
from benchmarks.pairs import lung_pair
from benchmarks.study import Run, Study, largest, pair_up, spread, tabulate
from itk_nephi.fields.settings import FieldSettings

DEFAULT = "default"

FINE = FieldSettings(local_grid=24)

at_points = partial(nephi, similarity="local_ncc")
"""NePhi without B-splines, optimized at random points."""

METHODS = {
    DEFAULT: at_points(),
    "published network": at_points(field=FieldSettings.paper()),
    "grid of 24 vertices": at_points(field=FINE),
    "latent pyramid, 9 to 16 vertices": at_points(representation="growing_grid"),
    "latent pyramid, 13 to 24 vertices": at_points(representation="growing_grid", field=FINE),
    "cubic B-spline weights for the local code": at_points(representation="cubic_spline"),
    "higher half of the frequencies from the second level on": at_points(
        representation="frequencies_by_level"
    ),
    "local codes begin ten times smaller": at_points(representation="small_codes"),
}
"""See :mod:`benchmarks.representations`."""


def measure(run: Run) -> Figures:
    """Run each on the lung pair, with masks, with three seeds."""
    names = [DEFAULT, list(METHODS)[3]] if run.quick else METHODS
    methods = {name: METHODS[name] for name in names}
    return {"trials": run_methods(run, methods, {"lung": lung_pair(run)}, 3)}


def table(figures: Figures) -> str:
    """Return error, its difference from the default, folding, smoothness and processor time."""
    rows = []
    for name in dict.fromkeys(trial["method"] for trial in figures["trials"]):
        both = pair_up(figures["trials"], name, DEFAULT)
        found = [mine for mine, _ in both]
        row = [name, spread([errors_mm(trial).mean() for trial in found])]
        row.append(spread([errors_mm(mine).mean() - errors_mm(d).mean() for mine, d in both]))
        row.append(largest([trial["folding_fraction"] for trial in found]))
        row.append(spread([trial["log_jacobian_sd"] for trial in found]))
        rows.append([*row, spread([trial["cpu_seconds"] for trial in found], 1)])
    header = ["representation", "mean mm, without the outlier", "against the default, mm"]
    header += ["folding fraction, at most", "SD of log Jacobian", "processor s"]
    return tabulate(header, rows)


STUDY = Study(
    name="representations",
    question="Is another representation of the deformation better?",
    time="14 minutes, one core",
    measure=measure,
    table=table,
)
