from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import itk
import numpy as np
import pytest
from support.command_line import assert_fails, run

from itk_nephi import RegistrationSettings, register
from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.io.pair_files import PairPaths, landmark_columns, read_pair
from itk_nephi.spatial.conversion import to_displacement_field_transform
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points
from itk_nephi.workflows import methods
from itk_nephi.workflows.comparison import run_method
from itk_nephi.workflows.method_input import MethodInput
from itk_nephi.workflows.method_process import elastix_error
from itk_nephi.workflows.methods import METHODS

MISSING = next(name for name in METHODS if not methods.is_installed(METHODS[name][1]))

PARAMETERS = """
(Registration "MultiResolutionRegistration")
(FixedImagePyramid "FixedSmoothingImagePyramid")
(MovingImagePyramid "MovingSmoothingImagePyramid")
(Interpolator "LinearInterpolator")
(ResampleInterpolator "FinalBSplineInterpolator")
(Resampler "DefaultResampler")
(Metric "AdvancedMeanSquares")
(Optimizer "AdaptiveStochasticGradientDescent")
(ImageSampler "RandomCoordinate")
(NumberOfResolutions 1)
(MaximumNumberOfIterations 60)
(NumberOfSpatialSamples 400)
(RequiredRatioOfValidSamples 0.05)
"""
STAGES = {
    "affine": '(Transform "AffineTransform")\n(AutomaticTransformInitialization "true")\n',
    "bspline": '(Transform "BSplineTransform")\n(FinalGridSpacingInPhysicalUnits 20)\n',
}


@pytest.fixture
def paths(domain: ImageDomain, tmp_path: Path) -> dict[str, Path]:
    """Files of a pair of blobs, turned, shifted and bent by a known map of moving points."""
    dimension = domain.dimension
    fixed_domain = replace(
        domain, size=(30, 26, 20)[:dimension], spacing=(1.5, 1.7, 2.1)[:dimension]
    )
    shift = np.array([3.0, -2.0, 4.0][:dimension])
    origin = tuple(float(x) for x in np.array(fixed_domain.origin) + shift)
    moving_domain = replace(fixed_domain, origin=origin)
    rng = np.random.default_rng(0)
    half = fixed_domain.half_extent
    centers = fixed_domain.center + rng.uniform(-0.8, 0.8, (30, dimension)) * half
    heights = rng.uniform(50, 150, 30)

    def blobs(points: Any) -> Any:
        return sum(
            height * np.exp(-np.square(points - center).sum(axis=-1) / 50)
            for height, center in zip(heights, centers, strict=True)
        )

    def to_fixed(points: Any) -> Any:
        coords = (points - shift - fixed_domain.center) / half.max()
        return points - shift + 1.5 * np.sin(2 * np.roll(coords, 1, axis=-1))

    points = moving_domain.center + rng.uniform(-0.5, 0.5, (25, dimension)) * half
    found = {name: tmp_path / f"{name}.nrrd" for name in ("fixed", "moving")}
    for name, grid, coords in (
        ("fixed", fixed_domain, fixed_domain.grid_points()),
        ("moving", moving_domain, to_fixed(moving_domain.grid_points())),
    ):
        image = image_from_array(blobs(coords).astype(np.float32), grid)
        inside = np.zeros(np.asarray(image).shape, np.uint8)
        inside[(slice(1, -1),) * dimension] = 1
        labels = 1 + (np.asarray(image) > 60)
        itk.imwrite(image, found[name])
        for kind, values in (("mask", inside), ("labels", labels.astype(np.uint8))):
            found[f"{name}_{kind}"] = tmp_path / f"{name}_{kind}.nrrd"
            itk.imwrite(image_like(image, values), found[f"{name}_{kind}"])
    found["evaluation_landmarks"] = tmp_path / "landmarks.csv"
    np.savetxt(
        found["evaluation_landmarks"],
        np.hstack([to_fixed(points), points]),
        delimiter=",",
        header=",".join(landmark_columns(dimension)),
        comments="",
    )
    for name, text in STAGES.items():
        found[name] = tmp_path / f"{name}.txt"
        found[name].write_text(PARAMETERS + text)
    return found


@pytest.fixture
def pair(paths: dict[str, Path]) -> ImagePair:
    stages = STAGES.keys()
    files = {name: path for name, path in paths.items() if name not in stages}
    return read_pair(PairPaths(**files, initial_transform="moments"))


flat = pytest.mark.parametrize("dimension", [2], ids=["2D"])


def test_elastix_agrees_with_a_direct_run_and_with_transformix(
    pair: ImagePair, paths: dict[str, Path], tmp_path: Path
) -> None:
    parameters = [paths["affine"], paths["bspline"]]
    task = MethodInput(
        pair=pair,
        folder=tmp_path,
        elastix_parameters=parameters,
        seed=3,
    )
    found, inverse = methods.elastix(task)()
    assert inverse is None
    assert pair.evaluation_landmarks is not None
    fixed_points, moving_points = pair.evaluation_landmarks

    direct = itk.ParameterObject.New()
    for path in parameters:
        direct.AddParameterFile(str(path))
    for number in range(2):
        direct.SetParameter(number, "RandomSeed", "4")
    method = itk.ElastixRegistrationMethod[type(pair.fixed_image), type(pair.moving_image)].New(
        pair.fixed_image, pair.moving_image
    )
    method.SetParameterObject(direct)
    method.SetFixedMask(pair.fixed_mask)
    method.SetMovingMask(pair.moving_mask)
    method.SetLogToConsole(False)
    method.UpdateLargestPossibleRegion()
    table = tmp_path / "points.txt"
    lines = [" ".join(map(repr, point)) for point in fixed_points.tolist()]
    table.write_text("\n".join(["point", str(len(lines)), *lines]))
    transformix = itk.TransformixFilter[type(pair.moving_image)].New(pair.moving_image)
    transformix.SetTransformParameterObject(method.GetTransformParameterObject())
    transformix.SetFixedPointSetFileName(str(table))
    transformix.SetOutputDirectory(str(tmp_path))
    transformix.SetLogToConsole(False)
    transformix.UpdateLargestPossibleRegion()
    texts = (tmp_path / "outputpoints.txt").read_text().split("OutputPoint = [")[1:]
    expected = np.array([text.split("]")[0].split() for text in texts], dtype=float)

    converted = methods.itk_transform(method)
    np.testing.assert_allclose(transform_points(converted, fixed_points), expected, atol=1e-5)
    error = np.linalg.norm(expected - moving_points, axis=1).mean()
    evaluation = evaluate(pair, found)
    # in one process the random numbers of elastix's first run differ from those of the next
    assert evaluation.landmark_error_mm.mean == pytest.approx(error, abs=0.03)
    before = np.linalg.norm(fixed_points - moving_points, axis=1).mean()
    assert error < before / 4


def test_a_transform_that_itk_has_not_is_an_error() -> None:
    method = SimpleNamespace(ConvertToItkTransform=lambda _: None, GetCombinationTransform=dict)
    with pytest.raises(RuntimeError, match="expected a transform of elastix that ITK has"):
        methods.itk_transform(method)


@flat
def test_demons_brings_the_images_together(pair: ImagePair, tmp_path: Path) -> None:
    found, inverse = methods.demons(MethodInput(pair=pair, folder=tmp_path))()
    assert inverse is None
    assert pair.evaluation_landmarks is not None
    identity = itk.IdentityTransform[itk.D, 2].New()
    before = landmark_errors(identity, *pair.evaluation_landmarks).mean()
    assert landmark_errors(found, *pair.evaluation_landmarks).mean() < before / 4


@flat
def test_nephi_is_what_register_finds(
    pair: ImagePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_field: FieldSettings
) -> None:
    settings = RegistrationSettings(steps=2, points=50, regularizer_points=20, field=small_field)
    monkeypatch.setattr(RegistrationSettings, "preset", lambda _: settings)
    there, back = methods.nephi(MethodInput(pair=pair, folder=tmp_path, seed=5))()
    expected = register(
        pair.fixed_image,
        pair.moving_image,
        fixed_mask=pair.fixed_mask,
        moving_mask=pair.moving_mask,
        initial_transform="moments",
        settings=settings,
        seed=5,
    )
    points = ImageDomain.of(pair.fixed_image).grid_points().reshape(-1, 2)
    for found, other in ((there, expected.fixed_to_moving), (back, expected.moving_to_fixed)):
        np.testing.assert_array_equal(
            transform_points(found, points), transform_points(other, points)
        )


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


@flat
@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("kill -KILL $$", "its process was killed, perhaps for lack of memory"),
        ("kill -SEGV $$", "its process crashed: Segmentation fault"),
        ("exit 3", "its process ended with status 3"),
    ],
)
def test_a_process_that_ends_early_is_a_row(
    pair: ImagePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, words: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{ending}\n")
    program.chmod(0o755)
    stale = tmp_path / "out" / "fixed_to_moving.h5"
    stale.parent.mkdir()
    stale.write_text("of an earlier run")
    monkeypatch.setattr(sys, "executable", str(program))
    row, evaluation = run_method("nephi", pair, tmp_path / "out")
    assert evaluation is None
    assert row["error"].startswith(words)
    assert "log.txt" in row["error"]
    assert row["process_seconds"] > 0
    assert not stale.exists()


@flat
def test_methods_other_than_nephi_say_that_they_want_a_linear_start(pair: ImagePair) -> None:
    initial_transform = itk.BSplineTransform[itk.D, 2, 3].New()
    task = MethodInput(pair=replace(pair, initial_transform=initial_transform), folder=Path())
    with pytest.raises(ValueError, match=r"expected a linear initial transform .*BSpline"):
        task.initial_affine()


@flat
def test_methods_see_nothing_that_judges_them(pair: ImagePair, tmp_path: Path) -> None:
    landmarks = pair.evaluation_landmarks
    seen = MethodInput(pair=replace(pair, guide_landmarks=landmarks), folder=tmp_path).pair
    assert seen.labels is seen.evaluation_landmarks is seen.guide_landmarks is None
    assert seen.fixed is pair.fixed
    assert seen.moving_mask is pair.moving_mask
    assert seen.initial_transform == "moments"


@flat
@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"sources": {}}, "fixed, fixed_mask, moving, moving_mask"),
        ({"initial_transform": itk.AffineTransform[itk.D, 2].New()}, "initial_transform"),
    ],
)
def test_a_process_of_its_own_reads_the_files_of_a_pair(
    pair: ImagePair, tmp_path: Path, change: dict[str, Any], missing: str
) -> None:
    words = f"expected pair to be read from files, .* got none of {missing}"
    with pytest.raises(ValueError, match=words):
        run_method("nephi", replace(pair, **change), tmp_path)


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
    assert f"expected the package {package} to be installed, found none" in failed["error"]
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
    """Methods take a known time here, and a pair that vanished before its turn fails alone."""
    table = tmp_path / "pairs.csv"
    vanishing = tmp_path / "vanishing.nrrd"
    vanishing.write_bytes(paths["moving"].read_bytes())
    names = ["one", "two", "three"]
    moving = [paths["moving"], paths["moving"], vanishing]
    lines = [f"{n},{paths['fixed']},{m},identity" for n, m in zip(names, moving, strict=True)]
    table.write_text("\n".join(["name,fixed,moving,initial_transform", *lines]))

    def finished(name: str, pair: ImagePair, folder: Path, **_: Any) -> dict[str, Any]:
        assert pair.initial_transform == "identity"
        vanishing.unlink(missing_ok=True)
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
    assert "which does not exist" in found["pairs"][2]["methods"][0]["error"]
    difference = next(d for d in found["differences"] if d["metric"] == "time s")
    assert difference == {
        "metric": "time s",
        "method": "demons",
        "other": "elastix",
        "pairs": 2,
        "mean": -1.5,
        "low": -2.0,
        "high": -1.0,
    }
    text = (output / "comparison.md").read_text()
    assert "| time s | demons - elastix | 2 | -1.5 | -2 to -1 |" in text
    with (output / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pair"] for row in rows] == [name for name in names for _ in range(2)]
    assert json.loads((output / "one" / "comparison.json").read_text())["methods"]


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
    ],
)
def test_bad_input_is_named_before_anything_starts(
    paths: dict[str, Path], tmp_path: Path, arguments: str, fragment: str
) -> None:
    for name in ("outside", "unreadable", "others"):
        paths[name] = tmp_path / f"{name}.csv"
    paths["outside"].write_text(",".join(landmark_columns(2)) + "\n900,0,900,0\n")
    paths["unreadable"].write_text("fixed,moving\nfixed.nrrd,nothing.nrrd\n")
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


def test_an_error_of_elastix_is_told_in_its_own_words() -> None:
    log = (
        "Stopping condition: Error in metric.\nDescription: ITK ERROR: AdvancedMetric(0x5f08): "
        "Too many samples map outside moving image buffer: 0 / 149\n\nError occurred\n"
    )
    expected = "elastix: Too many samples map outside moving image buffer: 0 / 149"
    assert elastix_error(log) == expected
    assert elastix_error("nothing") == "elastix failed without a description"
