"""The files that ``itk-nephi register`` writes: images, transforms, metrics and pages."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import resource
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from itk_nephi.evaluation import metrics
from itk_nephi.evaluation.evaluation import Evaluation, evaluate
from itk_nephi.evaluation.statistics import percentage, rounded
from itk_nephi.io.image_writing import write_image
from itk_nephi.io.transforms import write_transforms
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.maps import interpolate, sampled_transform
from itk_nephi.spatial.resampling import resample
from itk_nephi.workflows.configuration import described_settings

if TYPE_CHECKING:
    from itk_nephi.registration.result import Registration

RESULTS = {
    "transforms": ("fixed_to_moving.h5", "moving_to_fixed.h5"),
    "images": ("warped.nii.gz", "jacobian_determinant.nii.gz"),
    "evaluation": (),
    "report": ("report.html", "overview.png"),
}
"""What can be chosen to be written, and its files; the evaluation goes into metrics.json."""


def files(results: Iterable[str]) -> list[str]:
    """Return the names of the files of results."""
    return [file for name in results for file in RESULTS[name]] + ["metrics.json", "config.toml"]


def checked_results(names: Collection[str], argument: str) -> tuple[str, ...]:
    """Check the names of results, and return them in the order of ``RESULTS``.

    Parameters
    ----------
    names : collection of str
        Some of ``RESULTS``.
    argument : str
        What the message calls them.

    Raises
    ------
    ValueError
        If there are none, or others.
    """
    unknown = [name for name in names if name not in RESULTS]
    if unknown or not names:
        raise ValueError(
            f"expected {argument} to be some of {', '.join(RESULTS)}, got "
            f"{', '.join(map(repr, unknown)) or 'none'}"
        )
    return tuple(name for name in RESULTS if name in names)


def write(
    folder: Path,
    pair: ImagePair,
    registration: Registration,
    *,
    inputs: dict[str, Any],
    seconds: dict[str, float],
    device: str,
    results: Collection[str] = tuple(RESULTS),
    stage: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the results of a registration into a folder.

    Parameters
    ----------
    folder : Path
        An existing folder.
    pair : ImagePair
        What was registered.
    registration : Registration
        The result.
    inputs : dict of str to object
        What :func:`itk_nephi.workflows.provenance.describe_inputs` returned of the pair when it was
        read.
    seconds : dict of str to float
        What the stages so far took.
    device : str
        As the user gave it.
    results : collection of str
        Which ones, of ``RESULTS``; metrics.json is always written.
    stage : callable
        Called with what is done next, in words.

    Returns
    -------
    dict
        What metrics.json holds.
    """
    made = _Results(pair, registration, dict(seconds), stage)
    if "transforms" in results:
        with made.timed("transforms", "writing the transforms"):
            write_transforms(
                folder,
                {
                    "fixed_to_moving.h5": registration.fixed_to_moving,
                    "moving_to_fixed.h5": registration.moving_to_fixed,
                },
            )
    if "images" in results:
        for name, image in (
            ("warped", made.warped),
            ("jacobian_determinant", made.determinants),
        ):
            with made.timed("images", f"writing {name}.nii.gz"):
                write_image(image, folder / f"{name}.nii.gz")
    evaluated = "evaluation" in results or "report" in results
    result = {
        **(made.evaluations if evaluated else {}),
        "results": list(results),
        "interrupted": registration.interrupted,
        "steps": len(registration.history),
        "seed": registration.seed,
        "device": device,
        **inputs,
        "settings": described_settings(registration.settings),
        "versions": {
            "python": platform.python_version(),
            **{
                name: importlib.metadata.version(name)
                for name in ("itk-nephi", "itk", "torch", "numpy")
            },
        },
    }
    if "report" in results:
        made.write_report(folder, result | made.resources())
    result |= made.resources()
    text = json.dumps(result, indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return result


@dataclass(eq=False)
class _Results:
    """What is made of a registration, each once and only where it is needed.

    In large images the transform that resamples is sampled, see
    :func:`itk_nephi.spatial.maps.sampled_transform`, and Jacobian determinants are interpolated
    between the points of :func:`itk_nephi.evaluation.metrics.determinant_grid`.
    """

    pair: ImagePair
    registration: Registration
    seconds: dict[str, float]
    stage: Callable[[str], None]

    @contextmanager
    def timed(self, name: str, words: str) -> Iterator[None]:
        """Announce what is done next, and add its time to a stage."""
        self.stage(words)
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def resources(self) -> dict[str, Any]:
        """Return the time of each stage, and the most memory that the process has held."""
        return {
            "seconds": {**self.seconds, "total": sum(self.seconds.values())},
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    @cached_property
    def warped(self) -> Image:
        fixed = self.pair.fixed_image
        with self.timed("warp", "resampling the moving image"):
            transform = sampled_transform(self.registration.fixed_to_moving, fixed)
            return resample(self.pair.moving_image, [transform], fixed)

    @cached_property
    def sampled_determinants(self) -> Image:
        with self.timed("jacobian_determinant", "computing Jacobian determinants"):
            return metrics.sampled_determinant_image(
                self.registration.fixed_to_moving, self.pair.fixed_image
            )

    @cached_property
    def determinants(self) -> Image:
        sampled = self.sampled_determinants
        with self.timed("jacobian_determinant", "interpolating Jacobian determinants"):
            return interpolate(sampled, self.pair.fixed_image)

    @cached_property
    def stages(self) -> tuple[Evaluation, Evaluation, Evaluation]:
        """The evaluations of the identity, the initial transform and the result."""
        found, identity = self.registration, itk.IdentityTransform[itk.D, self.pair.dimension].New()
        # a mask asks for determinants of its own
        known = self.sampled_determinants if self.pair.fixed_mask is None else None
        with self.timed("evaluate", "evaluating"):
            return (
                evaluate(self.pair, identity),
                evaluate(self.pair, found.initial_transform),
                evaluate(
                    self.pair, found.fixed_to_moving, found.moving_to_fixed, determinants=known
                ),
            )

    @property
    def evaluations(self) -> dict[str, Any]:
        """The evaluations as JSON has them."""
        names = ("as_stored", "before", "after")
        return {name: one.to_json() for name, one in zip(names, self.stages, strict=True)}

    def write_report(self, folder: Path, record: dict[str, Any]) -> None:
        """Write overview.png and report.html."""
        pair, found = self.pair, self.registration
        as_stored, before, after = self.stages
        warped, determinants = self.warped, self.determinants
        with self.timed("overview", "drawing the overview"):
            from itk_nephi.visualization.overview import draw_overview

            draw_overview(
                pair.fixed_image,
                pair.moving_image,
                found.fixed_to_moving,
                found.initial_transform,
                found.history,
                fixed_mask=pair.fixed_mask,
            ).save(folder / "overview.png", compress_level=1)
        with self.timed("report", "drawing the report"):
            from itk_nephi.visualization.report import MethodResult, render_report

            page = render_report(
                pair,
                [
                    MethodResult(
                        name="NePhi",
                        warped=warped,
                        evaluation=after,
                        fixed_to_moving=found.fixed_to_moving,
                        moving_to_fixed=found.moving_to_fixed,
                        determinants=determinants,
                    )
                ],
                MethodResult(
                    name="initial transform only",
                    warped=resample(pair.moving_image, [found.initial_transform], pair.fixed_image),
                    evaluation=before,
                    fixed_to_moving=found.initial_transform,
                ),
                record,
                as_stored=as_stored,
                history=found.history,
            )
            (folder / "report.html").write_text(page, encoding="utf-8")


def format_summary(result: dict[str, Any], folder: Path) -> str:
    """Summarize a registration in a few lines, and which file to use for what."""
    lines = ["", *(_summarize_evaluations(result) if "after" in result else [])]
    lines += [
        f"time             {result['seconds']['total']:.0f} s, "
        f"memory {result['peak_memory_mib'] / 1024:.1f} GiB",
        "",
    ]
    if "transforms" in result["results"]:
        lines += [
            "to resample moving images onto the fixed image, or to map fixed points to moving:",
            f"  {folder / 'fixed_to_moving.h5'}",
            "to map moving points to fixed:",
            f"  {folder / 'moving_to_fixed.h5'}",
        ]
    if "report" in result["results"]:
        lines += ["to see how it went:", f"  {folder / 'report.html'}"]
    return "\n".join(lines)


def _summarize_evaluations(result: dict[str, Any]) -> list[str]:
    as_stored, before, after = (result[stage] for stage in ("as_stored", "before", "after"))
    lines = []
    if "landmark_error_mm" in after:
        start, earlier, now = (stage["landmark_error_mm"] for stage in (as_stored, before, after))
        lines += [
            f"landmark error   mean {rounded(start['mean'])} mm as stored, "
            f"{rounded(earlier['mean'])} mm after the initial transform, "
            f"{rounded(now['mean'])} mm now",
            f"                 now: median {rounded(now['median'])}, 95th percentile "
            f"{rounded(now['p95'])}, largest {rounded(now['max'])} mm, of {now['count']}",
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
        f"folding          {percentage(folding) if folding else 'none'} in the {after['region']}",
        f"consistency      inverse consistency error {rounded(consistency['mean'])} mm on average, "
        f"{rounded(consistency['p95'])} mm at the 95th percentile",
    ]
    return lines
