"""The files that ``itk-nephi register`` writes: images, transforms, metrics and pages."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from itk_nephi.evaluation import metrics
from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.io.images import write_image
from itk_nephi.io.transforms import write_transform
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.workflows.provenance import describe_inputs

if TYPE_CHECKING:
    from itk_nephi.registration.result import Registration

FILES = (
    "fixed_to_moving.h5",
    "moving_to_fixed.h5",
    "warped.nii.gz",
    "jacobian_determinant.nii.gz",
    "metrics.json",
    "overview.png",
    "report.html",
)
"""What :func:`write` writes."""


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
    write_transform(fixed_to_moving, folder / "fixed_to_moving.h5")
    write_transform(registration.moving_to_fixed, folder / "moving_to_fixed.h5")
    with timed("warp"):
        initially_warped = resample(
            pair.moving_image, [registration.initial_transform], pair.fixed_image
        )
        warped = resample(pair.moving_image, [fixed_to_moving], pair.fixed_image)
        write_image(warped, folder / "warped.nii.gz")
    with timed("jacobian_determinant"):
        determinants = metrics.jacobian_determinant_image(fixed_to_moving, pair.fixed_image)
        write_image(determinants, folder / "jacobian_determinant.nii.gz")
    with timed("evaluate"):
        identity = itk.IdentityTransform[itk.D, pair.dimension].New()
        as_stored, before = (
            evaluate(pair, transform) for transform in (identity, registration.initial_transform)
        )
        after = evaluate(
            pair, fixed_to_moving, registration.moving_to_fixed, determinants=determinants
        )
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
        "as_stored": as_stored.to_json(),
        "before": before.to_json(),
        "after": after.to_json(),
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
                    evaluation=after,
                    fixed_to_moving=fixed_to_moving,
                    moving_to_fixed=registration.moving_to_fixed,
                    determinants=determinants,
                )
            ],
            MethodResult(
                name="initial transform only",
                warped=initially_warped,
                evaluation=before,
                fixed_to_moving=registration.initial_transform,
            ),
            result,
            as_stored=as_stored,
            history=registration.history,
        )
        (folder / "report.html").write_text(page, encoding="utf-8")
    result["seconds"] = {**seconds, "total": sum(seconds.values())}
    text = json.dumps(result, indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return result


def format_summary(result: dict[str, Any], folder: Path) -> str:
    """Summarize a registration in a few lines, and which file to use for what."""
    as_stored, before, after = (result[stage] for stage in ("as_stored", "before", "after"))
    lines = [""]
    if "landmark_error_mm" in after:
        start, earlier, now = (stage["landmark_error_mm"] for stage in (as_stored, before, after))
        lines += [
            f"landmark error   mean {_length(start['mean'])} mm as stored, "
            f"{_length(earlier['mean'])} mm after the initial transform, "
            f"{_length(now['mean'])} mm now",
            f"                 now: median {_length(now['median'])}, 95th percentile "
            f"{_length(now['p95'])}, largest {_length(now['max'])} mm, of {now['count']}",
        ]
    if after.get("dice"):
        means = [fmean(stage["dice"].values()) for stage in (before, after)]
        lines += [f"Dice of labels   mean {means[0]:.3f} before, {means[1]:.3f} now"]
    correlations = [
        "none" if stage["ncc"] is None else f"{stage['ncc']:.3f}" for stage in (before, after)
    ]
    folding, consistency = after["folding_fraction"], after["inverse_consistency_error_mm"]
    lines += [
        f"NCC              {correlations[0]} before, {correlations[1]} now (1 is best)",
        f"folding          {f'{folding:.4%}' if folding else 'none'} in the {after['region']}",
        f"consistency      inverse consistency error {_length(consistency['mean'])} mm on average, "
        f"{_length(consistency['p95'])} mm at the 95th percentile",
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


def _length(millimeters: float) -> str:
    """Return a length with two decimals, or two digits where these would be zeros."""
    return f"{millimeters:.2f}" if millimeters >= 0.1 else f"{millimeters:.2g}"
