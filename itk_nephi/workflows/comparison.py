"""Methods on one pair, or several, judged by the same code: what `itk-nephi compare` writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import itk

from itk_nephi.evaluation import metrics
from itk_nephi.evaluation.statistics import statistics
from itk_nephi.io.errors import plain_words
from itk_nephi.io.images import read_image, write_image
from itk_nephi.io.pair_files import PairPaths, read_pair
from itk_nephi.io.transforms import read_transform
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.workflows.comparison_table import (
    describe_row,
    differences_in_markdown,
    paired_differences,
    tabulate,
    write_comparison,
)
from itk_nephi.workflows.method_process import run_in_process
from itk_nephi.workflows.outputs import measured_inside, measured_voxels
from itk_nephi.workflows.provenance import describe_inputs, find_versions


def run_method(name: str, pair: ImagePair, folder: Path, **options: Any) -> dict[str, Any]:
    """Register a pair by a method in a process of its own, and measure the result here.

    Arguments as for :func:`itk_nephi.workflows.method_process.run_in_process`; the folder also gets
    warped.nii.gz.

    Returns
    -------
    dict
        What ``run_in_process`` returns, and, unless there is an ``error``, what :func:`measured`
        does.
    """
    row = run_in_process(name, pair, folder, **options)
    if row["error"] is None:
        try:
            there, back = _transforms(folder, pair.dimension)
            row |= measured(pair, there, back)
            write_image(
                resample(pair.moving_image, [there], pair.fixed_image), folder / "warped.nii.gz"
            )
        except (ValueError, RuntimeError) as error:
            row["error"] = plain_words(error)
    return row


def measured(pair: ImagePair, fixed_to_moving: Any, moving_to_fixed: Any = None) -> dict[str, Any]:
    """Measure how good a transform is, whatever made it.

    Parameters
    ----------
    pair : ImagePair
        The pair, with landmarks and labels if there are any.
    fixed_to_moving : itk.Transform
        From points of fixed to points of moving space.
    moving_to_fixed : itk.Transform, optional
        Its approximate inverse.

    Returns
    -------
    dict
        As in metrics.json: ``folding_fraction`` and ``log_jacobian_sd`` in the
        fixed mask; with an inverse ``inverse_consistency_error_mm``, mean and p95; with landmarks
        ``landmark_error_mm``, count, mean, median, p95 and max; with labels ``dice`` of each.
    """
    inside = measured_inside(pair)
    determinants = metrics.jacobian_determinant_image(fixed_to_moving, pair.fixed_image)
    found: dict[str, Any] = {
        "folding_fraction": metrics.folding_fraction(determinants, inside),
        "log_jacobian_sd": metrics.log_jacobian_sd(determinants, inside),
    }
    if moving_to_fixed is not None:
        points = ImageDomain.of(pair.fixed_image).voxel_points(measured_voxels(inside))
        found["inverse_consistency_error_mm"] = statistics(
            metrics.inverse_consistency_errors(fixed_to_moving, moving_to_fixed, points),
            ("mean", "p95"),
        )
    if pair.evaluation_landmarks is not None:
        errors = metrics.landmark_errors(fixed_to_moving, *pair.evaluation_landmarks)
        found["landmark_error_mm"] = {"count": len(errors)} | statistics(errors)
    if pair.labels is not None:
        overlaps = metrics.dice(*pair.labels, fixed_to_moving)
        found["dice"] = {str(label): overlap for label, overlap in overlaps.items()}
    return found


def compare_pair(
    pair: ImagePair,
    folder: Path,
    methods: Iterable[str],
    *,
    callback: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> dict[str, Any]:
    """Run methods on a pair, one after the other, each in a folder of its name.

    Parameters
    ----------
    pair : ImagePair
        The pair.
    folder : Path
        Where the folders go, and comparison.json, .csv, .md and report.html.
    methods : iterable of str
        Of :data:`itk_nephi.workflows.methods.METHODS`.
    callback : callable
        Told how each method went.
    **settings
        Further arguments of :func:`run_method`.

    Returns
    -------
    dict
        What comparison.json holds: ``methods``, a row each; what was asked for, the inputs and
        their checksums, and the versions.
    """
    rows = []
    for name in methods:
        rows.append(run_method(name, pair, folder / name, **settings))
        callback(describe_row(rows[-1]))
    result = {
        "methods": rows,
        **describe_inputs(pair),
        "elastix_parameters": [str(path) for path in settings.get("elastix_parameters", ())],
        "seed": settings.get("seed"),
        "threads": settings.get("threads") or len(os.sched_getaffinity(0)),
        "versions": find_versions(),
    }
    write_comparison(folder, result, tabulate(rows), "")
    if any(row["error"] is None for row in rows):
        (folder / "report.html").write_text(_page(pair, folder, result), encoding="utf-8")
    return result


def _page(pair: ImagePair, folder: Path, result: dict[str, Any]) -> str:
    """Return the report of a comparison, about its first method that did not fail."""
    from itk_nephi.visualization.report import MethodResult, render_report

    rows = [row for row in result["methods"] if row["error"] is None]
    outcomes = []
    for row in rows:
        place = folder / row["name"]
        there, back = _transforms(place, pair.dimension)
        warped = read_image(place / "warped.nii.gz", row["name"])
        outcomes.append(
            MethodResult(
                name=row["name"], warped=warped, fixed_to_moving=there, moving_to_fixed=back
            )
        )
    identity = itk.IdentityTransform[itk.D, pair.dimension].New()
    stored = resample(pair.moving_image, [identity], pair.fixed_image)
    shown = ("folding_fraction", "log_jacobian_sd")
    findings = {name: rows[0][name] for name in shown} | {
        "measured_in": "fixed image" if pair.fixed_mask is None else "fixed mask",
        "inverse_consistency_error_mm": rows[0].get("inverse_consistency_error_mm"),
        **{
            name: result[name]
            for name in ("initial_transform", "seed", "inputs", "sha256", "versions")
        },
    }
    before = MethodResult(name="as stored", warped=stored, fixed_to_moving=identity)
    return render_report(pair, outcomes, before, findings, comparison=result)


def _transforms(folder: Path, dimension: int) -> tuple[Any, Any]:
    """Read what a method left: its transform, and its inverse or None."""
    there, back = (
        read_transform(folder / file, file, dimension) if (folder / file).is_file() else None
        for file in ("fixed_to_moving.h5", "moving_to_fixed.h5")
    )
    return there, back


def compare_pairs(
    pairs: Iterable[PairPaths],
    folder: Path,
    methods: Sequence[str],
    *,
    callback: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> dict[str, Any]:
    """Run methods on several pairs, and compare them two at a time.

    Parameters
    ----------
    pairs : iterable of PairPaths
        The pairs, read one after the other.
    folder : Path
        Gets a folder for each pair, and comparison.json, .csv and .md of all.
    methods, callback, **settings
        As for :func:`compare_pair`.

    Returns
    -------
    dict
        What comparison.json holds: ``pairs``, each with its ``name`` and what
        :func:`compare_pair` returns; and ``differences``, see
        :func:`itk_nephi.workflows.comparison_table.paired_differences`. A pair that cannot be
        read has rows with that error.
    """
    found: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for paths in pairs:
        callback(f"pair {paths.name}")
        try:
            pair = read_pair(paths)
        except (ValueError, OSError) as error:
            failed = [{"name": method, "error": plain_words(error)} for method in methods]
            found.append({"name": paths.name, "methods": failed})
        else:
            result = compare_pair(pair, folder / paths.name, methods, callback=callback, **settings)
            found.append({"name": paths.name} | result)
        rows += [{"pair": paths.name} | row for row in found[-1]["methods"]]
    result = {"pairs": found, "differences": paired_differences(found)}
    write_comparison(folder, result, tabulate(rows), differences_in_markdown(result["differences"]))
    return result
