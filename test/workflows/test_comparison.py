from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from support.command_line import assert_fails, run

from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.io.pair_files import landmark_columns
from itk_nephi.spatial.conversion import to_displacement_field_transform
from itk_nephi.spatial.domain import ImageDomain, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points
from itk_nephi.workflows import methods
from itk_nephi.workflows.methods import METHODS

MISSING = next(name for name in METHODS if not methods.is_installed(METHODS[name][1]))

flat = pytest.mark.parametrize("dimension", [2], ids=["2D"])


def test_a_known_transform_is_measured_exactly(pair: ImagePair) -> None:
    assert pair.evaluation_landmarks is not None
    dimension = pair.dimension
    shift = itk.TranslationTransform[itk.D, dimension].New()
    shift.SetOffset(
        list(np.array(pair.moving_image.GetOrigin()) - np.array(pair.fixed_image.GetOrigin()))
    )
    points = pair.evaluation_landmarks[0]
    ideal = replace(
        pair,
        evaluation_landmarks=(points, transform_points(shift, points)),
        labels=(pair.labels[0], image_like(pair.moving_image, np.asarray(pair.labels[0]))),
    )
    sampled = to_displacement_field_transform(shift, pair.fixed_image)
    for transform in (shift, sampled):
        found = evaluate(ideal, transform, shift.GetInverseTransform())
        assert found.folding_fraction == 0
        assert found.log_jacobian_sd == pytest.approx(0, abs=1e-3)
        assert found.landmark_error_mm.max == pytest.approx(0, abs=1e-5)
        assert found.dice == {1: 1.0, 2: 1.0}
        assert found.inverse_consistency_error_mm.mean == pytest.approx(0, abs=1e-5)


def options(paths: dict[str, Path]) -> list[Any]:
    return [
        *("--fixed-mask", paths["fixed_mask"], "--moving-mask", paths["moving_mask"]),
        *("--evaluation-landmarks", paths["evaluation_landmarks"]),
        *("--labels", paths["fixed_labels"], paths["moving_labels"]),
        *("--elastix-parameters", paths["affine"], "--elastix-parameters", paths["bspline"]),
    ]


@flat
def test_a_failed_method_is_a_row_of_the_tables(paths: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    methods = ["--methods", f"{MISSING},elastix", "--initial-transform", "moments"]
    result = run(
        "compare", paths["fixed"], paths["moving"], "-o", output, *options(paths), *methods
    )
    assert result.exit_code == 0, result.stderr
    found = json.loads((output / "comparison.json").read_text())
    failed, done = found["methods"]
    assert failed["name"] == MISSING
    package = METHODS[MISSING][1]
    assert f"expected {package} to be installed, found none" in failed["error"]
    assert done["error"] is None
    assert 0 < done["seconds"] < done["process_seconds"]
    assert done["cpu_seconds"] > 0
    assert 50 < done["memory_before_mib"] <= done["peak_memory_mib"] < 4000
    assert done["folding_fraction"] == 0
    assert 0 < done["log_jacobian_sd"] < 0.5
    assert 0 < done["ncc"] < 1
    assert done["region"] == "fixed mask"
    assert set(done["dice"]) == {"1", "2"}
    assert "inverse_consistency_error_mm" not in done
    assert done["landmark_error_mm"]["count"] == 25
    warped = ImageDomain.of(itk.imread(output / "elastix" / "warped.nii.gz"))
    assert warped.matches(ImageDomain.of(itk.imread(paths["fixed"])))
    assert found["as_stored"]["region"] == "fixed mask"
    assert found["as_stored"]["landmark_error_mm"]["mean"] > done["landmark_error_mm"]["mean"]
    assert found["inputs"]["fixed"] == str(paths["fixed"])
    assert set(found["sha256"]) == set(found["inputs"])
    assert {"python", "itk", "itk-nephi", "itk-elastix"} <= set(found["versions"])
    with (output / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [MISSING, "elastix"]
    assert float(rows[1]["landmark error, mean mm"]) == pytest.approx(
        done["landmark_error_mm"]["mean"], rel=1e-3
    )
    assert package in rows[0]["error"]
    text = (output / "comparison.md").read_text()
    assert text.count("\n") == 4
    assert text.strip() in result.stdout


@flat
def test_methods_are_compared_over_the_pairs_of_a_table(
    paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Methods take a known time here; a pair whose files change meanwhile fails alone."""
    table = tmp_path / "pairs.csv"
    vanishing, empty = (tmp_path / f"{name}.nrrd" for name in ("vanishing", "empty"))
    vanishing.write_bytes(paths["moving"].read_bytes())
    empty.write_bytes(paths["fixed_mask"].read_bytes())
    names = ["one", "two", "none", "three"]
    moving = [paths["moving"], paths["moving"], paths["moving"], vanishing]
    masks = ["", "", empty, ""]
    lines = [
        f"{name},{paths['fixed']},{image},{mask},identity"
        for name, image, mask in zip(names, moving, masks, strict=True)
    ]
    table.write_text("\n".join(["name,fixed,moving,fixed_mask,initial_transform", *lines]))

    def finished(name: str, pair: ImagePair, folder: Path, **_: Any) -> dict[str, Any]:
        assert pair.initial_transform == "identity"
        vanishing.unlink(missing_ok=True)
        mask = itk.imread(paths["fixed_mask"])
        itk.imwrite(image_like(mask, 0 * np.asarray(mask)), empty)
        folder.mkdir(parents=True)
        identity = itk.IdentityTransform[itk.D, 2].New()
        itk.transformwrite(identity, folder / "fixed_to_moving.h5")
        seconds = {"demons": {"one": 1.0, "two": 3.0}, "elastix": {"one": 2.0, "two": 5.0}}
        return {"name": name, "error": None, "seconds": seconds[name][folder.parent.name]}

    monkeypatch.setattr("itk_nephi.workflows.comparison.run_in_process", finished)
    output = tmp_path / "out"
    result = run("compare", "--table", table, "-o", output, "--methods", "demons,elastix")
    assert result.exit_code == 0, result.stderr
    found = json.loads((output / "comparison.json").read_text())
    assert [pair["name"] for pair in found["pairs"]] == names
    for pair, words in ((2, "fixed_mask to have non-zero voxels"), (3, "which does not exist")):
        assert [row["name"] for row in found["pairs"][pair]["methods"]] == ["demons", "elastix"]
        assert all(words in row["error"] for row in found["pairs"][pair]["methods"])
    difference = next(d for d in found["differences"] if d["metric"] == "time s")
    assert difference == {
        "metric": "time s",
        "method": "demons",
        "other": "elastix",
        "pairs": 2,
        "mean": -1.5,
        "low": None,
        "high": None,
    }
    text = (output / "comparison.md").read_text()
    assert "| time s | demons - elastix | 2 | -1.5 | - |" in text
    with (output / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pair"] for row in rows] == [name for name in names for _ in range(2)]
    assert json.loads((output / "one" / "comparison.json").read_text())["methods"]


@flat
@pytest.mark.parametrize("role", ["initial_transform", "fixed", "elastix_parameters", "table"])
@pytest.mark.parametrize("several", [False, True])
def test_no_input_is_replaced(
    paths: dict[str, Path], tmp_path: Path, role: str, several: bool
) -> None:
    """Whatever input is asked for under the name of a file of the comparison."""
    output = tmp_path / "out"
    folder = output / "one" if several else output
    target = {
        "initial_transform": folder / "demons" / "fixed_to_moving.h5",
        "fixed": folder / "nephi-fast" / "warped.nii.gz",
        "elastix_parameters": folder / "nephi-fast" / "log.txt",
        "table": output / "comparison.csv",
    }[role]
    target.parent.mkdir(parents=True)
    start = tmp_path / "start.h5"
    itk.transformwrite(itk.AffineTransform[itk.D, 2].New(), str(start))
    itk.imwrite(itk.imread(paths["fixed"]), fixed := tmp_path / "fixed.nii.gz")
    table = tmp_path / "pairs.csv"
    inputs = {
        "initial_transform": start,
        "fixed": fixed,
        "elastix_parameters": paths["affine"],
        "table": table,
    }
    if role != "table":
        target.write_bytes(inputs[role].read_bytes())
    inputs[role] = target
    inputs["table"].write_text(
        "name,fixed,moving,initial_transform\n"
        f"one,{inputs['fixed']},{paths['moving']},{inputs['initial_transform']}\n"
    )
    before = target.read_bytes()
    pair = [inputs["fixed"], paths["moving"], "--initial-transform", inputs["initial_transform"]]
    given = ["--table", inputs["table"]] if several or role == "table" else pair
    further = ["--methods", "nephi-fast,demons", "--elastix-parameters"]
    result = run("compare", *given, "-o", output, *further, inputs["elastix_parameters"])
    assert_fails(result, f"expected --output to replace no input, got {target} as both")
    assert target.read_bytes() == before


@flat
def test_an_interruption_leaves_the_methods_that_have_ended(
    paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str, pair: ImagePair, folder: Path, **_: Any) -> dict[str, Any]:
        if name == "elastix":
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text(pair.name)
        return {"name": name, "error": "none", "seconds": 1.0}

    monkeypatch.setattr("itk_nephi.workflows.comparison.run_in_process", interrupted)
    given = [paths["fixed"], paths["moving"], "--initial-transform", "identity"]
    output = tmp_path / "out"
    result = run("compare", *given, "-o", output, "--methods", "demons,elastix")
    assert result.exit_code == 130
    assert "nothing written" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("itk-nephi: interrupted; methods that have ")
    assert (output / "demons" / "log.txt").is_file()


@flat
def test_that_all_methods_fail_is_an_error(paths: dict[str, Path], tmp_path: Path) -> None:
    arguments = ["-o", tmp_path / "out", "--methods", MISSING]
    result = run("compare", paths["fixed"], paths["moving"], *arguments)
    assert result.exit_code == 2
    assert "every method failed" in result.stderr


@flat
@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ("{fixed}", "expected FIXED and MOVING, or --table, got neither"),
        ("{fixed} {moving} --methods nephi,elastic", "got 'nephi,elastic'"),
        ("{fixed} {moving} --methods demons,demons", "each once"),
        ("{fixed} {moving} --table {evaluation_landmarks}", "got some beside it"),
        ("{fixed} {moving} --elastix-parameters none.txt", "--elastix-parameters to be a file"),
        ("{fixed} {moving} --initial-transform none.h5", "initial_transform"),
        ("{fixed} none.nrrd", "moving"),
        ("{fixed} {moving} --fixed-mask {moving_mask}", "expected fixed_mask on the grid of fixed"),
        (
            "{fixed} {moving} --evaluation-landmarks {outside}",
            "fixed points of evaluation_landmarks inside",
        ),
        ("{fixed} {moving} --labels {others} {moving_labels}", "share a value"),
        ("--table {evaluation_landmarks}", "unknown column"),
        ("--table {unreadable}", "row 1"),
        ("--table {guided}", "expected no guide_landmarks, which no method of a comparison sees"),
    ],
)
def test_bad_input_is_named_before_anything_starts(
    paths: dict[str, Path], tmp_path: Path, arguments: str, fragment: str
) -> None:
    for name in ("outside", "unreadable", "guided"):
        paths[name] = tmp_path / f"{name}.csv"
    paths["outside"].write_text(",".join(landmark_columns(2)) + "\n900,0,900,0\n")
    paths["unreadable"].write_text("fixed,moving\nfixed.nrrd,nothing.nrrd\n")
    files = [str(paths[name]) for name in ("fixed", "moving", "evaluation_landmarks")]
    paths["guided"].write_text("fixed,moving,guide_landmarks\n" + ",".join(files))
    paths["others"] = tmp_path / "others.nrrd"
    labels = itk.imread(paths["fixed_labels"])
    itk.imwrite(image_like(labels, np.asarray(labels) + np.uint8(7)), paths["others"])
    given = [word.format(**paths) for word in arguments.split()]
    output = tmp_path / "out"
    result = run("compare", *given, "-o", output)
    if "--table" in given[:1]:  # a table's error has a line for each fault
        assert result.exit_code == 2
        assert fragment in result.stderr
    else:
        assert_fails(result, fragment)
    assert not output.exists()
