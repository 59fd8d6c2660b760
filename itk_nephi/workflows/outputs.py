"""What `itk-nephi register` leaves behind: images, transforms, and how good they are."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import itk
import numpy as np
import numpy.typing as npt

from itk_nephi.evaluation import metrics
from itk_nephi.evaluation.statistics import statistics
from itk_nephi.io.images import write_image
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.spatial.transforms import transform_points
from itk_nephi.workflows.provenance import describe_inputs, without_nan

if TYPE_CHECKING:
    from itk_nephi.registration.result import Registration


MAX_VOXELS = 50_000
"""Voxels at which similarity and inverse consistency are measured, where there are more."""


def write(
    folder: Path,
    pair: ImagePair,
    registration: Registration,
    *,
    seconds: dict[str, float],
    device: str,
) -> dict[str, Any]:
    """Write everything that the command line promises into a folder.

    Parameters
    ----------
    folder : Path
        An existing folder.
    pair : ImagePair
        What was registered.
    registration : Registration
        The result.
    seconds : dict of str to float
        What the stages so far took.
    device : str
        As the user gave it.

    Returns
    -------
    dict
        What metrics.json holds.
    """
    seconds = dict(seconds)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - start

    fixed_to_moving = registration.fixed_to_moving
    itk.transformwrite(fixed_to_moving, str(folder / "fixed_to_moving.h5"))
    itk.transformwrite(registration.moving_to_fixed, str(folder / "moving_to_fixed.h5"))
    with timed("warp"):
        before = resample(pair.moving_image, [registration.initial_transform], pair.fixed_image)
        warped = resample(pair.moving_image, [fixed_to_moving], pair.fixed_image)
        write_image(warped, folder / "warped.nii.gz")
    with timed("jacobian_determinant"):
        determinants = metrics.jacobian_determinant_image(fixed_to_moving, pair.fixed_image)
        write_image(determinants, folder / "jacobian_determinant.nii.gz")
    with timed("measure"):
        measured = _measure(pair, registration, before, warped, determinants)
    with timed("overview"):
        from itk_nephi.visualization.overview import draw_overview

        draw_overview(
            pair.fixed_image,
            pair.moving_image,
            fixed_to_moving,
            registration.initial_transform,
            registration.history,
            fixed_mask=pair.fixed_mask,
        ).savefig(folder / "overview.png")
    result = {
        **measured,
        "interrupted": registration.interrupted,
        "steps": len(registration.history),
        "seconds": {**seconds, "total": sum(seconds.values())},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seed": registration.seed,
        "device": device,
        **describe_inputs(pair),
        "settings": asdict(registration.settings),
        "versions": {
            "python": platform.python_version(),
            **{
                name: importlib.metadata.version(name)
                for name in ("itk-nephi", "itk", "torch", "numpy")
            },
        },
    }
    with timed("report"):
        from itk_nephi.visualization.report import MethodResult, render_report

        page = render_report(
            pair,
            [
                MethodResult(
                    name="NePhi",
                    warped=warped,
                    fixed_to_moving=fixed_to_moving,
                    moving_to_fixed=registration.moving_to_fixed,
                    determinants=determinants,
                )
            ],
            MethodResult(
                name="initial transform only",
                warped=before,
                fixed_to_moving=registration.initial_transform,
            ),
            result,
            history=registration.history,
        )
        (folder / "report.html").write_text(page, encoding="utf-8")
    result["seconds"] = {**seconds, "total": sum(seconds.values())}
    text = json.dumps(without_nan(result), indent=2)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return result


def format_summary(result: dict[str, Any], folder: Path) -> str:
    """Say in a few lines how a registration went and which file to use for what."""
    lines = [""]
    if "landmark_error_mm" in result:
        errors = result["landmark_error_mm"]
        now = errors["after"]
        lines += [
            f"landmark error   mean {errors['as_stored']['mean']:.2f} mm as stored, "
            f"{errors['before']['mean']:.2f} mm after the initial transform, "
            f"{now['mean']:.2f} mm now",
            f"                 now: median {now['median']:.2f}, 95th percentile {now['p95']:.2f}, "
            f"largest {now['max']:.2f} mm, of {errors['count']}",
        ]
    if "dice" in result:
        means = [np.mean(list(result["dice"][when].values())) for when in ("before", "after")]
        lines += [f"Dice of labels   mean {means[0]:.3f} before, {means[1]:.3f} now"]
    similarity, consistency = result["similarity"], result["inverse_consistency_error_mm"]
    folding = result["folding_fraction"]
    lines += [
        f"similarity       {similarity['before']:.3f} before, {similarity['after']:.3f} now "
        "(1 is best)",
        f"folding          {f'{folding:.4%}' if folding else 'none'} "
        f"in the {result['measured_in']}",
        f"consistency      inverse consistency error {consistency['mean']:.2f} mm on average, "
        f"{consistency['p95']:.2f} mm at the 95th percentile",
        f"time             {result['seconds']['total']:.0f} s, "
        f"memory {result['peak_memory_mib'] / 1024:.1f} GiB",
        "",
        "to resample moving images onto the fixed image, or to map fixed points to moving:",
        f"  {folder / 'fixed_to_moving.h5'}",
        "to map moving points to fixed:",
        f"  {folder / 'moving_to_fixed.h5'}",
        "to see how it went:",
        f"  {folder / 'report.html'}",
    ]
    return "\n".join(lines)


def _measure(
    pair: ImagePair, registration: Registration, before: Any, warped: Any, determinants: Any
) -> dict[str, Any]:
    fixed_to_moving, initial_transform = (
        registration.fixed_to_moving,
        registration.initial_transform,
    )
    values = np.asarray(pair.fixed_image)
    inside = measured_inside(pair)
    voxels = measured_voxels(inside)
    points = ImageDomain.of(pair.fixed_image).voxel_points(voxels)
    moving_domain = ImageDomain.of(pair.moving_image)

    def similarity(transform: Any, image: Any) -> float:
        seen = voxels[moving_domain.contains(transform_points(transform, points))]
        if not len(seen):
            return math.nan
        return metrics.normalized_cross_correlation(
            values.ravel()[seen], np.asarray(image).ravel()[seen]
        )

    consistency = metrics.inverse_consistency_errors(
        fixed_to_moving, registration.moving_to_fixed, points
    )
    result: dict[str, Any] = {
        "measured_in": "fixed image" if pair.fixed_mask is None else "fixed mask",
        "similarity": {
            "measure": "normalized cross correlation where the images overlap",
            "before": similarity(initial_transform, before),
            "after": similarity(fixed_to_moving, warped),
        },
        "folding_fraction": metrics.folding_fraction(determinants, inside),
        "log_jacobian_sd": metrics.log_jacobian_sd(determinants, inside),
        "inverse_consistency_error_mm": statistics(consistency, ("mean", "p95")),
    }
    if pair.evaluation_landmarks is not None:
        identity = itk.IdentityTransform[itk.D, pair.dimension].New()
        stages = {"as_stored": identity, "before": initial_transform, "after": fixed_to_moving}
        result["landmark_error_mm"] = {"count": len(pair.evaluation_landmarks[0])} | {
            name: statistics(metrics.landmark_errors(transform, *pair.evaluation_landmarks))
            for name, transform in stages.items()
        }
    if pair.labels is not None:
        result["dice"] = {
            name: {str(k): v for k, v in metrics.dice(*pair.labels, transform).items()}
            for name, transform in {"before": initial_transform, "after": fixed_to_moving}.items()
        }
    return result


def measured_inside(pair: ImagePair) -> npt.NDArray[np.bool_]:
    """Say of each fixed voxel, shape (k, j, i), whether results are measured there."""
    if pair.fixed_mask is None:
        return np.ones(np.asarray(pair.fixed_image).shape, bool)
    return np.asarray(np.asarray(pair.fixed_mask) != 0)


def measured_voxels(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int_]:
    """Return numbers of voxels, the same at each call, where ``SAMPLES`` are enough."""
    voxels = np.flatnonzero(inside)
    if len(voxels) > MAX_VOXELS:
        voxels = np.sort(np.random.default_rng(0).choice(voxels, MAX_VOXELS, replace=False))
    return voxels
