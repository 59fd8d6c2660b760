"""Change one setting of a registration of the lung pair at a time: what it gains and costs.

    python benchmark/tuning.py {smoothness,ablation,representations} ... -o OUT [--quick] [--readme]

smoothness
    NePhi's smoothness and the spacing of elastix's control points: landmark error against the
    standard deviation of the log Jacobian inside the mask, on one picture, OUT/smoothness.png.
ablation
    The default settings with one choice changed: landmark error and processor time, and their
    differences from the default at the same seed.
representations
    Other networks, grids of the latent code and ways to read them, each with three seeds and the
    default's budget of steps and points: landmark error and processor time.

A trial that is in OUT is not made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tables import table
from trials import (
    LUNG_PAIR,
    OUTLIER,
    Figures,
    elastix,
    nephi,
    results_of,
    run_parts,
    spread,
)

from itk_nephi import FieldSettings

SMOOTHNESS = (0.1, 0.5, 2.0, 8.0, 32.0)
GRID_SPACINGS = (7.0, 10.0, 14.0, 20.0, 40.0)
STYLES = {
    "NePhi": ("o-", (-8, -11), "gradicon_weight"),
    "elastix": ("s--", (0, 9), "spacing of its grid"),
}
"""How a curve is drawn, where its labels stand, points, and what they say."""

CHANGES = {
    "default": nephi(),
    "published network": nephi(field=asdict(FieldSettings.paper())),
    "16 frequencies": nephi(field={"frequencies": 16}),
    "no global code": nephi(field={"global_code": 0}),
    "latent grid 8": nephi(field={"local_grid": 8}),
    "NCC instead of local NCC": nephi(similarity="ncc"),
    "one level, smoothing 1": nephi(smoothing_sigmas=(1.0,), steps=300),
    "three levels, smoothing 4, 2, 1": nephi(smoothing_sigmas=(4.0, 2.0, 1.0), steps=100),
    "half the points": nephi(points=2_500),
    "no inverse consistency": nephi(inverse_consistency_weight=0.0),
    "no GradICON": nephi(gradicon_weight=0.0),
    "diffusion instead of GradICON": nephi(gradicon_weight=0.0, diffusion_weight=0.5),
    "bending instead of GradICON": nephi(gradicon_weight=0.0, bending_weight=5.0),
    "a quarter of the regularizer's points": nephi(regularizer_points=62),
}

REPRESENTATIONS = {
    "default": nephi(),
    "published network": nephi(field=asdict(FieldSettings.paper())),
    "grid of 24 vertices": nephi(field={"local_grid": 24}),
    "latent pyramid, 9 to 16 vertices": nephi(representation="growing_grid"),
    "latent pyramid, 13 to 24 vertices": nephi(
        representation="growing_grid", field={"local_grid": 24}
    ),
    "cubic B-spline weights for the local code": nephi(representation="cubic_spline"),
    "higher half of the frequencies from the second level on": nephi(
        representation="frequencies_by_level"
    ),
    "local codes begin ten times smaller": nephi(representation="small_codes"),
}


def error(figures: Figures) -> float:
    """Return the mean landmark error without the outlier, mm."""
    return float(np.delete(figures["landmark_errors"], OUTLIER).mean())


def run_smoothness(folder: Path, quick: bool) -> str:
    """Return the table of the sweeps, and draw them."""
    sweeps = {
        "NePhi": {
            f"gradicon_weight {value:g}": nephi(gradicon_weight=value) for value in SMOOTHNESS
        },
        "elastix": {f"grid of {value:g} mm": elastix(value) for value in GRID_SPACINGS},
    }
    rows = []
    curves: dict[str, list[tuple[str, float, float]]] = {}
    for name, methods in sweeps.items():
        methods = dict(list(methods.items())[: 2 if quick else None])
        results = results_of(folder, methods, {"lung": LUNG_PAIR}, 1, quick=quick)
        for method in methods:
            figures = results[method, "lung", 0]
            if "error" in figures:
                rows.append([f"{name}, {method}", "failed", *"--"])
                continue
            point = (method, figures["log_jacobian_sd"], error(figures))
            curves.setdefault(name, []).append(point)
            numbers = [f"{point[2]:.3f}", f"{point[1]:.3f}", f"{figures['folding_fine']:.2g}"]
            rows.append([f"{name}, {method}", *numbers])
    draw(curves, folder / "smoothness.png")
    header = ["method", "mean mm, without the outlier", "SD of log Jacobian", "share of folds"]
    return table(header, rows)


def draw(curves: dict[str, list[tuple[str, float, float]]], path: Path) -> None:
    """Draw the landmark error against the smoothness of each method's results."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for name, points in curves.items():
        style, aside, what = STYLES[name]
        axes.plot([p[1] for p in points], [p[2] for p in points], style, label=f"{name}, {what}")
        for label, across, up in points:
            text = label.removeprefix("gradicon_weight ").removeprefix("grid of ")
            axes.annotate(
                text, (across, up), aside, textcoords="offset points", fontsize=8, ha="center"
            )
    axes.set(
        xlabel="standard deviation of the log Jacobian",
        ylabel="landmark error, mm, without the outlier",
    )
    axes.margins(x=0.1, y=0.1)  # leaves room for the labels
    axes.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def run_ablation(folder: Path, quick: bool) -> str:
    """Return the table of changed settings."""
    changes = dict(list(CHANGES.items())[: 3 if quick else None])
    results = results_of(folder, changes, {"lung": LUNG_PAIR}, 1, quick=quick)
    default = results["default", "lung", 0]
    rows = []
    for change in changes:
        found = results[change, "lung", 0]
        if "error" in found or "error" in default:
            rows.append([change, "failed", *"-----"])
            continue
        row = [change, f"{error(found):.3f}", f"{error(found) - error(default):+.3f}"]
        row += [f"{found['folding_fine']:.2g}", f"{found['log_jacobian_sd']:.3f}"]
        row.append(f"{found['cpu_seconds']:.0f}")
        rows.append([*row, f"{found['cpu_seconds'] - default['cpu_seconds']:+.0f}"])
    header = ["change", "mean mm, without the outlier", "against the default, mm"]
    header += ["share of folds", "SD of log Jacobian"]
    header += ["processor s", "against the default, s"]
    return table(header, rows)


def run_representations(folder: Path, quick: bool) -> str:
    """Return the table of representations."""
    seeds = 1 if quick else 3
    results = results_of(folder, REPRESENTATIONS, {"lung": LUNG_PAIR}, seeds, quick=quick)
    rows = []
    for name in REPRESENTATIONS:
        pairs = [
            (results[name, "lung", seed], results["default", "lung", seed]) for seed in range(seeds)
        ]
        pairs = [both for both in pairs if not any("error" in figures for figures in both)]
        found = [figures for figures, _ in pairs]
        row = [name, spread([error(figures) for figures in found])]
        row.append(spread([error(figures) - error(default) for figures, default in pairs]))
        row.append(f"{max((f['folding_fine'] for f in found), default=np.nan):.2g}")
        row.append(spread([f["log_jacobian_sd"] for f in found]))
        rows.append([*row, spread([f["cpu_seconds"] for f in found], 1)])
    header = ["representation", "mean mm, without the outlier", "against the default, mm"]
    header += ["share of folds, at most", "SD of log Jacobian", "processor s"]
    return table(header, rows)


PARTS: dict[str, Callable[[Path, bool], str]] = {
    "smoothness": run_smoothness,
    "ablation": run_ablation,
    "representations": run_representations,
}


if __name__ == "__main__":
    run_parts(PARTS, __doc__.splitlines()[0], mark="{}")
