"""Methods on one pair, or several, judged by the same code: what `itk-nephi compare` writes."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import itk

from itk_nephi import metrics
from itk_nephi.case import Case
from itk_nephi.differences import METRICS, metric, paired_differences
from itk_nephi.domain import ImageDomain
from itk_nephi.files import plain_words, read_image, read_transform, write_image
from itk_nephi.peers import METHODS
from itk_nephi.resampling import resample
from itk_nephi.results import (
    measured_inside,
    measured_voxels,
    sha256,
    without_nan,
)
from itk_nephi.run import run_in_process
from itk_nephi.statistics import statistics


def run_method(name: str, case: Case, folder: Path, **options: Any) -> dict[str, Any]:
    """Register a pair by a method in a process of its own, and measure the result here.

    Arguments as for :func:`itk_nephi.run.run_in_process`; the folder also gets warped.nii.gz.

    Returns
    -------
    dict
        What ``run_in_process`` returns, and, unless there is an ``error``, what :func:`measured`
        does.
    """
    row = run_in_process(name, case, folder, **options)
    if row["error"] is None:
        try:
            there, back = _transforms(folder, case.dimension)
            row |= measured(case, there, back)
            write_image(resample(case.moving, [there], case.fixed), folder / "warped.nii.gz")
        except (ValueError, RuntimeError) as error:
            row["error"] = plain_words(error)
    return row


def measured(case: Case, fixed_to_moving: Any, moving_to_fixed: Any = None) -> dict[str, Any]:
    """Measure how good a transform is, whatever made it.

    Parameters
    ----------
    case : Case
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
    inside = measured_inside(case)
    determinants = metrics.jacobian_determinant_image(fixed_to_moving, case.fixed)
    found: dict[str, Any] = {
        "folding_fraction": metrics.folding_fraction(determinants, inside),
        "log_jacobian_sd": metrics.log_jacobian_sd(determinants, inside),
    }
    if moving_to_fixed is not None:
        points = ImageDomain.of(case.fixed).voxel_points(measured_voxels(inside))
        found["inverse_consistency_error_mm"] = statistics(
            metrics.inverse_consistency_errors(fixed_to_moving, moving_to_fixed, points),
            ("mean", "p95"),
        )
    if case.evaluation_landmarks is not None:
        errors = metrics.landmark_errors(fixed_to_moving, *case.evaluation_landmarks)
        found["landmark_error_mm"] = {"count": len(errors)} | statistics(errors)
    if case.labels is not None:
        overlaps = metrics.dice(*case.labels, fixed_to_moving)
        found["dice"] = {str(label): overlap for label, overlap in overlaps.items()}
    return found


def compare_pair(
    case: Case,
    folder: Path,
    methods: Iterable[str],
    *,
    callback: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> dict[str, Any]:
    """Run methods on a pair, one after the other, each in a folder of its name.

    Parameters
    ----------
    case : Case
        The pair.
    folder : Path
        Where the folders go, and comparison.json, .csv, .md and report.html.
    methods : iterable of str
        Of :data:`itk_nephi.peers.METHODS`.
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
        rows.append(run_method(name, case, folder / name, **settings))
        callback(_told(rows[-1]))
    result = {
        "methods": rows,
        "initial_transform": settings.get("initial_transform", "affine"),
        "elastix_parameters": [str(path) for path in settings.get("elastix_parameters", ())],
        "seed": settings.get("seed"),
        "threads": settings.get("threads") or len(os.sched_getaffinity(0)),
        "inputs": case.paths,
        "sha256": {role: sha256(Path(path)) for role, path in case.paths.items()},
        "versions": _versions(),
    }
    _write(folder, result, _table(rows), "")
    if any(row["error"] is None for row in rows):
        (folder / "report.html").write_text(_page(case, folder, result), encoding="utf-8")
    return result


def _page(case: Case, folder: Path, result: dict[str, Any]) -> str:
    """Return the report of a comparison, about its first method that did not fail."""
    from itk_nephi.report import Outcome, render_report

    rows = [row for row in result["methods"] if row["error"] is None]
    outcomes = []
    for row in rows:
        place = folder / row["name"]
        there, back = _transforms(place, case.dimension)
        warped = read_image(place / "warped.nii.gz", row["name"])
        outcomes.append(
            Outcome(name=row["name"], warped=warped, fixed_to_moving=there, moving_to_fixed=back)
        )
    identity = itk.IdentityTransform[itk.D, case.dimension].New()
    stored = resample(case.moving, [identity], case.fixed)
    shown = ("folding_fraction", "log_jacobian_sd")
    findings = {name: rows[0][name] for name in shown} | {
        "measured_in": "fixed image" if case.fixed_mask is None else "fixed mask",
        "inverse_consistency_error_mm": rows[0].get("inverse_consistency_error_mm"),
        **{
            name: result[name]
            for name in ("initial_transform", "seed", "inputs", "sha256", "versions")
        },
    }
    before = Outcome(name="as stored", warped=stored, fixed_to_moving=identity)
    return render_report(case, outcomes, before, findings, comparison=result)


def _transforms(folder: Path, dimension: int) -> tuple[Any, Any]:
    """Read what a method left: its transform, and its inverse or None."""
    there, back = (
        read_transform(folder / file, file, dimension) if (folder / file).is_file() else None
        for file in ("fixed_to_moving.h5", "moving_to_fixed.h5")
    )
    return there, back


def compare_pairs(
    cases: Iterable[tuple[str, Callable[[], Case], str]],
    folder: Path,
    methods: Sequence[str],
    *,
    callback: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> dict[str, Any]:
    """Run methods on several pairs, and compare them two at a time.

    Parameters
    ----------
    cases : iterable of (str, callable, str)
        Each pair's name, what reads it, and its initial transform.
    folder : Path
        Gets a folder for each pair, and comparison.json, .csv and .md of all.
    methods, callback, **settings
        As for :func:`compare_pair`.

    Returns
    -------
    dict
        What comparison.json holds: ``pairs``, each with its ``name`` and what
        :func:`compare_pair` returns; and ``differences``, see
        :func:`itk_nephi.differences.paired_differences`. A pair that cannot be read has rows with
        that error.
    """
    pairs: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for name, read, initial_transform in cases:
        callback(f"pair {name}")
        try:
            case = read()
        except (ValueError, OSError) as error:
            failed = [{"name": method, "error": plain_words(error)} for method in methods]
            pairs.append({"name": name, "methods": failed})
        else:
            arguments = {**settings, "initial_transform": initial_transform, "callback": callback}
            pairs.append({"name": name} | compare_pair(case, folder / name, methods, **arguments))
        rows += [{"pair": name} | row for row in pairs[-1]["methods"]]
    result = {"pairs": pairs, "differences": paired_differences(pairs)}
    _write(folder, result, _table(rows), _differences_in_markdown(result["differences"]))
    return result


def _told(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"{row['name']}: failed: {row['error']}"
    error = metric(row, "landmark error, mean mm")
    said = "" if error is None else f", landmark error {error:.2f} mm"
    return f"{row['name']}: {row['seconds']:.1f} s{said}"


def _table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a header and a line of text for each row: its metrics, Dice of each label, error."""
    labels = sorted({label for row in rows for label in row.get("dice", {})}, key=float)
    several = any("pair" in row for row in rows)
    lines = [
        (["pair"] if several else [])
        + ["method", *METRICS, "landmark error, median mm", "landmark error, largest mm"]
        + [f"Dice of {label}" for label in labels]
        + ["time of the process s", "error"]
    ]
    for row in rows:
        errors, overlaps = row.get("landmark_error_mm", {}), row.get("dice", {})
        values = [metric(row, name) for name in METRICS]
        values += [errors.get("median"), errors.get("max")]
        values += [overlaps.get(label) for label in labels] + [row.get("process_seconds")]
        lines.append(
            ([row["pair"]] if several else [])
            + [row["name"], *("" if v is None else f"{v:.4g}" for v in values), row["error"] or ""]
        )
    used = [n for n, column in enumerate(zip(*lines[1:], strict=True)) if any(column)]
    return [[line[n] for n in used] for line in lines]


def _differences_in_markdown(differences: Sequence[dict[str, Any]]) -> str:
    lines = [["metric", "difference", "pairs", "mean", "95 % interval"]] + [
        [
            d["metric"],
            f"{d['method']} - {d['other']}",
            str(d["pairs"]),
            f"{d['mean']:.4g}",
            f"{d['low']:.4g} to {d['high']:.4g}",
        ]
        for d in differences
    ]
    return f"\nPaired differences, with bootstrap intervals:\n\n{_markdown(lines)}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    body = [escaped[0], ["---"] * len(escaped[0]), *escaped[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in body)


def _write(folder: Path, result: dict[str, Any], lines: list[list[str]], further: str) -> None:
    text = json.dumps(without_nan(result), indent=2)
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
    (folder / "comparison.md").write_text(_markdown(lines) + further, encoding="utf-8")
    with (folder / "comparison.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def _versions() -> dict[str, str]:
    packages = ["itk-nephi", "itk", "torch", "numpy"]
    packages += sorted({package for _, package in METHODS.values() if package})
    installed = {
        distribution.metadata["Name"].lower().replace("_", "-"): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    found = {name: installed.get(name.lower().replace("_", "-")) for name in packages}
    return {"python": platform.python_version()} | {n: v for n, v in found.items() if v}
