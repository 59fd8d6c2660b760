"""The command line's defaults on the lung pair: again, without masks, and turned in space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.pairs import Pair, lung_pair, read_landmarks, without_masks
from benchmarks.process import run_command
from benchmarks.study import QUICK_STEPS, Run, Study, tabulate
from itk_nephi.io.pair_files import write_landmarks
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.transforms import flatten, transform_points

SAME_MM = 0.1
"""By how much the map of the turned pair may differ: its numbers are rounded in other places."""


def measure(run: Run) -> Figures:
    """Register four times by the command line, and compare the maps."""
    options = ["--steps", QUICK_STEPS] if run.quick else []
    return run.trial("invariance", register_four_times, pair=lung_pair(run), options=options)


def table(figures: Figures) -> str:
    """Return the metrics of the runs, and how far their maps agree."""
    runs = figures["runs"]
    rows = [[name, *(f"{value:.4g}" for value in row.values())] for name, row in runs.items()]
    return (
        f"{tabulate(['run', *runs['masks']], rows)}\n\n"
        f"The same bits twice: {'yes' if figures['same_bits'] else 'NO'}. Largest difference of "
        f"the map of the turned pair: {figures['largest_difference_mm']:.6f} mm."
    )


def holds(figures: Figures) -> bool:
    """Say whether bits are the same twice, and the map of the turned pair is the same."""
    return bool(figures["same_bits"] and figures["largest_difference_mm"] < SAME_MM)


def register_four_times(folder: Path, *, pair: Pair, options: list[Any]) -> Figures:
    """Register with masks, with masks again, without, and turned in space."""
    pairs = {
        "masks": pair,
        "masks-again": pair,
        "no-masks": without_masks(pair),
        "turned": write_turned(pair, folder / "turned-input"),
    }
    runs, transforms = {}, {}
    for name, given in pairs.items():
        masks = [
            part
            for role in ("fixed_mask", "moving_mask")
            if role in given
            for part in (f"--{role.replace('_', '-')}", given[role])
        ]
        run_command(
            *("register", given["fixed"], given["moving"], "-o", folder / name, *masks, *options),
            *("--evaluation-landmarks", given["evaluation_landmarks"]),
        )
        runs[name] = describe(json.loads((folder / name / "metrics.json").read_text()))
        transforms[name] = itk.transformread(str(folder / name / "fixed_to_moving.h5"))[0]
    bits = [
        [np.array(list(part.GetParameters())).tobytes() for part in flatten(transforms[name])]
        for name in ("masks", "masks-again")
    ]
    mask = itk.imread(pair["fixed_mask"])
    inside = np.asarray(mask)[::4, ::4, ::4] != 0
    points = ImageDomain.of(mask).grid_points()[::4, ::4, ::4][inside]
    expected = transform_points(transforms["masks"], points)
    found = transform_points(transforms["turned"], points @ rotation().T) @ rotation()
    return {
        "runs": runs,
        "same_bits": bits[0] == bits[1],
        "largest_difference_mm": float(np.linalg.norm(found - expected, axis=1).max()),
    }


def describe(metrics: Figures) -> Figures:
    """Return of metrics.json what the table shows."""
    after = metrics["after"]
    errors, consistency = after["landmark_error_mm"], after["inverse_consistency_error_mm"]
    return {
        "mean mm": errors["mean"],
        "median mm": errors["median"],
        "p95 mm": errors["p95"],
        "folding": after["folding_fraction"],
        "inverse consistency mm": consistency["mean"],
        "its p95 mm": consistency["p95"],
        "seconds": metrics["seconds"]["total"],
        "MiB": metrics["peak_memory_mib"],
    }


def rotation() -> Any:
    """Return the matrix of a rotation by 20 degrees about an oblique axis."""
    turn = itk.VersorTransform[itk.D].New()
    turn.SetRotation([1.0, 2.0, -1.5], np.deg2rad(20))
    return itk.array_from_matrix(turn.GetMatrix())


def write_turned(pair: Pair, folder: Path) -> Pair:
    """Write a pair anew: axes in another order and direction, space turned by the rotation."""
    folder.mkdir(parents=True, exist_ok=True)
    axes = itk.SpatialOrientationEnums.ValidCoordinateOrientations_ITK_COORDINATE_ORIENTATION_ASR
    turned = {}
    for name in ("fixed", "moving", "fixed_mask", "moving_mask"):
        stored = itk.orient_image_filter(
            itk.imread(pair[name]), use_image_direction=True, desired_coordinate_orientation=axes
        )
        domain = ImageDomain.of(stored).turned(rotation())
        turned[name] = folder / f"{name}.mha"
        itk.imwrite(image_from_array(itk.array_view_from_image(stored), domain), turned[name])
    turned["evaluation_landmarks"] = folder / "landmarks.csv"
    landmarks = (points @ rotation().T for points in read_landmarks(pair))
    write_landmarks(turned["evaluation_landmarks"], *landmarks)
    return turned


STUDY = Study(
    name="invariance",
    question="Do repetition, masks, or the order of axes change a result?",
    time="4 minutes, two cores",
    measure=measure,
    table=table,
    holds=holds,
)
