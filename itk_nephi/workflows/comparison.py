"""Methods on one pair, or several, judged by the same code: what `itk-nephi compare` writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from itk_nephi.evaluation.evaluation import Evaluation, evaluate
from itk_nephi.io.errors import plain_words
from itk_nephi.io.image_writing import write_image
from itk_nephi.io.images import read_image
from itk_nephi.io.pair_files import PairPaths, read_pair
from itk_nephi.io.transforms import read_transform
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.workflows.comparison_table import (
    describe_row,
    differences_in_markdown,
    paired_differences,
    tabulate,
    write_comparison,
)
from itk_nephi.workflows.method_process import FILES, LOG, run_in_process
from itk_nephi.workflows.provenance import describe_inputs, find_versions, written_name

TABLES = ("comparison.json", "comparison.csv", "comparison.md")
"""The files of a comparison, of a pair or of several."""


def files(methods: Sequence[str], pairs: Iterable[str] = ()) -> list[str]:
    """Return the names of the files: those of a pair, or of several in folders of their names."""
    of_pair = [f"{method}/{file}" for method in methods for file in (*FILES, LOG)]
    of_pair += [*TABLES, "report.html"]
    names = [f"{pair}/{file}" for pair in pairs for file in of_pair]
    return [*names, *TABLES] if names else of_pair


def run_method(
    name: str, pair: ImagePair, folder: Path, **options: Any
) -> tuple[dict[str, Any], Evaluation | None]:
    """Register a pair by a method in a process of its own, and evaluate the result here.

    Arguments as for :func:`itk_nephi.workflows.method_process.run_in_process`; the folder also gets
    warped.nii.gz.

    Returns
    -------
    dict
        What ``run_in_process`` returns, and the evaluation as JSON has it.
    Evaluation or None
        None if there is an ``error``.
    """
    row = run_in_process(name, pair, folder, **options)
    if row["error"] is not None:
        return row, None
    try:
        there, back = _transforms(folder, pair.dimension)
        evaluation = evaluate(pair, there, back)
        warped = resample(pair.moving_image, [there], pair.fixed_image)
        write_image(warped, folder / "warped.nii.gz")
    except (ValueError, RuntimeError) as error:
        return row | {"error": plain_words(error)}, None
    return row | evaluation.to_json(), evaluation


def compare_pair(
    pair: ImagePair,
    folder: Path,
    methods: Iterable[str],
    *,
    callback: Callable[[str], None] = lambda _: None,
    stage: Callable[[str], None] = lambda _: None,
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
        Called with a line on each method that has ended.
    stage : callable
        Called with what is done next, in words.
    **settings
        Further arguments of :func:`run_method`.

    Returns
    -------
    dict
        What comparison.json holds: ``as_stored``, the evaluation of the identity; ``methods``, a
        row each; what was asked for, the inputs and their checksums, and the versions.
    """
    inputs = describe_inputs(pair)
    identity = itk.IdentityTransform[itk.D, pair.dimension].New()
    as_stored = evaluate(pair, identity)
    rows, evaluations = [], {}
    for name in methods:
        stage(f"{pair.name}: {name}")
        row, evaluation = run_method(name, pair, folder / name, **settings)
        callback(describe_row(row))
        rows.append(row)
        if evaluation is not None:
            evaluations[name] = evaluation
    result = {
        "as_stored": as_stored.to_json(),
        "methods": rows,
        **inputs,
        "elastix_parameters": [
            written_name(path) for path in settings.get("elastix_parameters", ())
        ],
        "seed": settings.get("seed"),
        "threads": settings.get("threads") or len(os.sched_getaffinity(0)),
        "versions": find_versions(),
    }
    write_comparison(folder, result, tabulate(rows), "")
    if evaluations:
        stage(f"{pair.name}: drawing the report")
        page = _page(pair, folder, result, as_stored, evaluations)
        (folder / "report.html").write_text(page, encoding="utf-8")
    return result


def _page(
    pair: ImagePair,
    folder: Path,
    result: dict[str, Any],
    as_stored: Evaluation,
    evaluations: Mapping[str, Evaluation],
) -> str:
    """Return the report of a comparison, about its first method that did not fail."""
    from itk_nephi.visualization.report import MethodResult, render_report

    outcomes = []
    for name, evaluation in evaluations.items():
        there, back = _transforms(folder / name, pair.dimension)
        outcomes.append(
            MethodResult(
                name=name,
                warped=read_image(folder / name / "warped.nii.gz", name),
                evaluation=evaluation,
                fixed_to_moving=there,
                moving_to_fixed=back,
            )
        )
    identity = itk.IdentityTransform[itk.D, pair.dimension].New()
    before = MethodResult(
        name="as stored",
        warped=resample(pair.moving_image, [identity], pair.fixed_image),
        evaluation=as_stored,
        fixed_to_moving=identity,
    )
    shown = ("initial_transform", "seed", "inputs", "sha256", "versions")
    record = {name: result[name] for name in shown}
    return render_report(pair, outcomes, before, record, comparison=result)


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
        read or evaluated has rows with that error.
    """
    found: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for paths in pairs:
        callback(f"pair {paths.name}")
        try:
            pair = read_pair(paths)
            result = compare_pair(pair, folder / paths.name, methods, callback=callback, **settings)
        except (ValueError, OSError, RuntimeError) as error:
            failed = [{"name": method, "error": plain_words(error)} for method in methods]
            result = {"methods": failed}
        found.append({"name": paths.name} | result)
        rows += [{"pair": paths.name} | row for row in found[-1]["methods"]]
    result = {"pairs": found, "differences": paired_differences(found)}
    write_comparison(folder, result, tabulate(rows), differences_in_markdown(result["differences"]))
    return result
