from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.command_line import assert_fails, run
from typer.testing import Result

from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.io.pair_files import write_pair
from itk_nephi.losses.similarity import SIMILARITIES
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.models.serialization import save_model
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration import pairwise
from itk_nephi.registration.instance_optimization import RegistrationSettings
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import flatten, transform_points

IMAGES = ["fixed", "moving", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels"]
RESULTS = {
    "fixed_to_moving.h5",
    "moving_to_fixed.h5",
    "warped.nii.gz",
    "jacobian_determinant.nii.gz",
    "metrics.json",
    "overview.png",
    "report.html",
}
QUICK = [
    "--steps",
    "2",
    "--points",
    "100",
    "--smoothing-sigmas",
    "2,1",
    "--initial-transform",
    "geometry",
]


@pytest.fixture(scope="module")
def phantom() -> ImagePair:
    return lung(2, size=(40, 33), noise=5, seed=3).pair


@pytest.fixture(scope="module")
def inputs(phantom: ImagePair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_pair(phantom, folder, ".nrrd")
    affine = itk.AffineTransform[itk.D, 2].New()
    affine.SetTranslation([4.0, -2.5])
    itk.transformwrite(affine, str(folder / "affine.tfm"))
    itk.transformwrite(itk.AffineTransform[itk.D, 3].New(), str(folder / "affine3d.tfm"))
    return folder


def register(inputs: Path, output: Path, *options: Any) -> Result:
    quick = [] if "--initial-transform" in options else QUICK
    return run(
        "register", inputs / "fixed.nrrd", inputs / "moving.nrrd", "-o", output, *quick, *options
    )


@pytest.fixture(scope="module")
def registered(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    output = tmp_path_factory.mktemp("registered") / "deep" / "output"
    masks = [f"--{space}-mask={inputs / space}_mask.nrrd" for space in ("fixed", "moving")]
    labels = ["--labels", inputs / "fixed_labels.nrrd", inputs / "moving_labels.nrrd"]
    landmarks = ["--evaluation-landmarks", inputs / "landmarks.csv"]
    return output, register(inputs, output, *masks, *labels, *landmarks, "--seed", 7)


def read_transform(path: Path) -> Any:
    (transform,) = itk.transformread(str(path))
    return transform


# register


def test_register_leaves_everything_it_promises(registered: tuple[Path, Result]) -> None:
    output, result = registered
    assert result.exit_code == 0, result.output
    assert {path.name for path in output.iterdir()} == RESULTS


def test_the_report_names_the_very_files(registered: tuple[Path, Result], inputs: Path) -> None:
    output, _ = registered
    page = (output / "report.html").read_text(encoding="utf-8")
    sums = json.loads((output / "metrics.json").read_text())["sha256"]
    for name in ("fixed", "moving", "fixed_mask", "moving_mask"):
        expected = hashlib.sha256((inputs / f"{name}.nrrd").read_bytes()).hexdigest()
        assert sums[name] == expected
        assert expected in page


def test_the_transforms_move_points_both_ways(
    registered: tuple[Path, Result], phantom: ImagePair
) -> None:
    output, _ = registered
    there, back = (
        read_transform(output / f"{name}.h5") for name in ("fixed_to_moving", "moving_to_fixed")
    )
    errors = landmark_errors(there, *phantom.evaluation_landmarks)
    metrics = json.loads((output / "metrics.json").read_text())
    assert errors.tolist() == metrics["after"]["landmark_errors_mm"]
    assert errors.mean() == metrics["after"]["landmark_error_mm"]["mean"]
    (_, initial_transform), (undone, inverse) = flatten(there), flatten(back)
    points = transform_points(initial_transform, phantom.evaluation_landmarks[0])
    np.testing.assert_allclose(transform_points(undone, points), phantom.evaluation_landmarks[0])
    assert inverse.GetNameOfClass() == "NePhiTransform"


def test_the_warped_image_is_what_itk_resamples(
    registered: tuple[Path, Result], inputs: Path
) -> None:
    output, _ = registered
    fixed, moving = (itk.imread(str(inputs / f"{name}.nrrd")) for name in ("fixed", "moving"))
    expected = itk.resample_image_filter(
        moving,
        transform=read_transform(output / "fixed_to_moving.h5"),
        use_reference_image=True,
        reference_image=fixed,
    )
    warped = itk.imread(str(output / "warped.nii.gz"))
    np.testing.assert_array_equal(np.asarray(warped), np.asarray(expected))
    assert type(warped) is type(moving)
    np.testing.assert_allclose(warped.GetOrigin(), fixed.GetOrigin(), atol=1e-4)


def test_the_metrics_say_what_was_done(registered: tuple[Path, Result], inputs: Path) -> None:
    metrics = json.loads((registered[0] / "metrics.json").read_text())
    before, after = metrics["before"], metrics["after"]
    assert before["ncc"] < 1
    assert after["ncc"] < 1
    assert 0 <= after["folding_fraction"] <= 1
    assert before["region"] == after["region"] == "fixed mask"
    error = after["inverse_consistency_error_mm"]
    assert 0 < error["mean"] < error["p95"]
    assert "inverse_consistency_error_mm" not in before
    assert metrics["as_stored"]["landmark_error_mm"]["mean"] > 1
    assert set(after["dice"]) == {"1", "2", "3"}
    assert metrics["seconds"]["total"] > metrics["seconds"]["register"] > 0
    assert metrics["peak_memory_mib"] > 50
    assert set(metrics["versions"]) == {"python", "itk-nephi", "itk", "torch", "numpy"}
    assert metrics["seed"] == 7
    assert metrics["device"] == "cpu"
    assert metrics["settings"]["steps"] == 2
    assert metrics["inputs"]["fixed_mask"] == str(inputs / "fixed_mask.nrrd")
    assert metrics["inputs"]["moving_labels"] == str(inputs / "moving_labels.nrrd")
    assert metrics["initial_transform"] == "geometry"
    assert not metrics["interrupted"]


def test_a_summary_says_which_file_to_use(registered: tuple[Path, Result]) -> None:
    output, result = registered
    assert str(output / "fixed_to_moving.h5") in result.stdout
    assert "landmark error" in result.stdout
    assert "Dice" in result.stdout
    assert "level 1 of 2: step 2 of 4" in result.stderr


def test_only_images_are_enough_and_other_files_of_the_folder_stay(
    inputs: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "metrics.json").write_text("old")
    result = register(inputs, tmp_path)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == RESULTS | {"notes.txt"}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["after"]["region"] == "fixed image"
    assert "dice" not in metrics["after"]
    assert "landmark error" not in result.stdout


def test_settings_and_an_initial_transform_from_a_file_reach_the_registration(
    inputs: Path, tmp_path: Path
) -> None:
    options = [
        "--steps",
        1,
        "--points",
        50,
        "--smoothing-sigmas",
        "3, 1.5,0",
        "--gradicon-weight",
        "0.25",
    ]
    result = register(inputs, tmp_path, *options, "--initial-transform", inputs / "affine.tfm")
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["initial_transform"] == str(inputs / "affine.tfm")
    expected = hashlib.sha256((inputs / "affine.tfm").read_bytes()).hexdigest()
    assert metrics["sha256"]["initial_transform"] == expected
    settings = metrics["settings"]
    assert settings["smoothing_sigmas"] == [3.0, 1.5, 0.0]
    assert settings["gradicon_weight"] == 0.25
    transform = read_transform(tmp_path / "fixed_to_moving.h5")
    assert np.array(transform.GetNthTransform(0).GetParameters())[-2:].tolist() == [4.0, -2.5]


def test_similarity_channels_and_guide_landmarks_reach_the_registration(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = pairwise.register, {}

    def watched(fixed: Any, moving: Any, **options: Any) -> Any:
        seen.update(options, fixed=fixed, moving=moving)
        return original(fixed, moving, **options)

    monkeypatch.setattr(pairwise, "register", watched)
    options = ["--similarity", "ncc", "--channel-weights", "1,0.5,2"]
    for space in ("fixed", "moving"):
        for name in ("labels", "mask"):
            options += [f"--{space}-channel", inputs / f"{space}_{name}.nrrd"]
    options += ["--guide-landmarks", inputs / "landmarks.csv"]
    result = register(inputs, tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert seen["settings"].similarity == "ncc"
    assert seen["channel_weights"] == (1.0, 0.5, 2.0)
    for space in ("fixed", "moving"):
        for found, name in zip(seen[space], ("", "_labels", "_mask"), strict=True):
            expected = itk.imread(str(inputs / f"{space}{name}.nrrd"))
            np.testing.assert_array_equal(found, expected)
    pairs = np.loadtxt(inputs / "landmarks.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(np.hstack(seen["guide_landmarks"]), pairs)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert "landmark_error_mm" not in metrics["after"]
    assert metrics["inputs"]["guide_landmarks"] == str(inputs / "landmarks.csv")
    assert metrics["inputs"]["moving_channel_2"] == str(inputs / "moving_mask.nrrd")


def test_landmarks_to_judge_by_do_not_guide(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pairwise.register

    def watched(*images: Any, **options: Any) -> Any:
        assert options["guide_landmarks"] is None
        return original(*images, **options)

    monkeypatch.setattr(pairwise, "register", watched)
    result = register(inputs, tmp_path, "--evaluation-landmarks", inputs / "landmarks.csv")
    assert result.exit_code == 0, result.output
    assert "landmark error" in result.stdout


def test_warnings_are_one_plain_line(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    run("info", inputs / "fixed.nrrd")
    found = warnings.formatwarning(UserWarning("mind the gap"), UserWarning, "cli.py", 3)
    assert found == "itk-nephi: warning: mind the gap\n"


def test_the_help_tells_the_defaults() -> None:
    settings = RegistrationSettings()
    text = re.sub(r"[\s│]+", " ", run("register", "--help").stdout)
    smoothing = ",".join(f"{value:g}" for value in settings.smoothing_sigmas)
    assert f"each level (default {settings.steps})" in text
    assert f"each step (default {settings.points})" in text
    assert f"invertible (default {settings.gradicon_weight:g})" in text
    assert f"coarse to fine (default {smoothing})" in text
    assert f"{settings.similarity} (default)" in text
    assert all(name in text for name in SIMILARITIES)


def test_an_interrupted_registration_keeps_what_was_reached(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pairwise.register

    def interrupted(*arguments: Any, **options: Any) -> Any:
        def callback(progress: Any) -> None:
            if progress.done == 3:
                raise KeyboardInterrupt

        return original(*arguments, **{**options, "callback": callback})

    monkeypatch.setattr(pairwise, "register", interrupted)
    result = register(inputs, tmp_path)
    assert result.exit_code == 130
    assert "interrupted after step 3" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == RESULTS
    assert json.loads((tmp_path / "metrics.json").read_text())["interrupted"]


def test_an_interruption_before_the_first_step_writes_nothing(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pairwise, "register", interrupted)
    result = register(inputs, tmp_path / "output")
    assert result.exit_code == 130
    assert result.stderr == "itk-nephi: interrupted, nothing written\n"
    assert not (tmp_path / "output").exists()


# bad input of register


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--similarity", "ssd"], "expected similarity to be one of local_ncc, "),
        (["--fixed-channel", "fixed_mask.nrrd"], "as many moving as fixed images, got 1 and 2"),
        (["--channel-weights", "1,2"], "for each image of a subject, 1 in all"),
        (["--channel-weights", "half"], "--channel-weights to be numbers separated by commas"),
        (["--guide-landmarks", "fixed.nrrd"], "expected --guide-landmarks to "),
    ],
)
def test_faulty_options_are_named(
    inputs: Path, tmp_path: Path, options: list[str], fragment: str
) -> None:
    options = [str(inputs / o) if o.endswith("nrrd") else o for o in options]
    output = tmp_path / "output"
    assert_fails(register(inputs, output, *options), fragment)
    assert not output.exists()


def changed(inputs: Path, change: Callable[[np.ndarray], None], name: str = "moving") -> Any:
    image = itk.imread(str(inputs / f"{name}.nrrd"))
    change(itk.array_view_from_image(image))
    return image


def poke(value: float) -> Callable[[np.ndarray], None]:
    def change(values: np.ndarray) -> None:
        values[3, 4] = value

    return change


def fill(value: float) -> Callable[[np.ndarray], None]:
    return lambda values: values.fill(value)


def shifted(image: Any, offset: float) -> Any:
    image.SetOrigin([x + offset for x in image.GetOrigin()])
    return image


IMAGE_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "constant": (lambda inputs: changed(inputs, fill(3)), "moving"),
    "NaN": (lambda inputs: changed(inputs, poke(np.nan)), "moving"),
    "infinite": (lambda inputs: changed(inputs, poke(np.inf)), "moving"),
    "three dimensions": (
        lambda _: itk.image_from_array(np.ones((5, 6, 7), np.float32)),
        "MOVING in 2 dimensions like FIXED",
    ),
    "one slice": (
        lambda _: itk.image_from_array(np.ones((1, 6, 7), np.float32)),
        "expected MOVING to have at least two voxels on every axis",
    ),
    "four dimensions": (
        lambda _: itk.image_from_array(np.ones((3, 3, 3, 3), np.float32)),
        "expected MOVING to be an image in 2 or 3 dimensions",
    ),
    "vectors": (
        lambda _: itk.image_from_array(np.ones((6, 7, 2), np.float32), is_vector=True),
        "expected MOVING to have one value a voxel (or RGB)",
    ),
}


@pytest.mark.parametrize("fault", IMAGE_FAULTS)
def test_faulty_images_are_refused(inputs: Path, tmp_path: Path, fault: str) -> None:
    make, fragment = IMAGE_FAULTS[fault]
    path = tmp_path / "faulty.nrrd"
    itk.imwrite(make(inputs), str(path))
    output = tmp_path / "output"
    assert_fails(
        run("register", inputs / "fixed.nrrd", path, "-o", output, *QUICK), "expected", fragment
    )
    assert not output.exists()


MASK_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda inputs: changed(inputs, fill(0), "fixed_mask"), "fixed_mask"),
    "another grid": (
        lambda inputs: shifted(changed(inputs, fill(1), "fixed_mask"), 3.0),
        "fixed_mask",
    ),
}


@pytest.mark.parametrize("fault", MASK_FAULTS)
def test_faulty_masks_are_refused(inputs: Path, tmp_path: Path, fault: str) -> None:
    make, fragment = MASK_FAULTS[fault]
    path = tmp_path / "mask.nrrd"
    itk.imwrite(make(inputs), str(path))
    output = tmp_path / "output"
    assert_fails(register(inputs, output, "--fixed-mask", path), "expected", fragment)
    assert not output.exists()


def test_masks_without_overlap_are_refused(inputs: Path, tmp_path: Path) -> None:
    for name, columns in (("fixed", slice(0, 5)), ("moving", slice(-5, None))):
        mask = changed(inputs, fill(0), f"{name}_mask")
        itk.array_view_from_image(mask)[:, columns] = 1
        itk.imwrite(mask, str(tmp_path / f"{name}.nrrd"))
    masks = [f"--{name}-mask={tmp_path / name}.nrrd" for name in ("fixed", "moving")]
    result = register(inputs, tmp_path / "output", "--initial-transform", "identity", *masks)
    assert_fails(result, "expected", "masks that overlap")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("suffix", ["mha", "nrrd", "nii", "nii.gz", "gipl", "png"])
def test_truncated_images_are_refused(inputs: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving.{suffix}"
    image = itk.imread(str(inputs / "moving.nrrd"), itk.UC)
    itk.imwrite(image, str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    output = tmp_path / "output"
    assert_fails(
        run("register", inputs / "fixed.nrrd", path, "-o", output, *QUICK), "MOVING", str(path)
    )
    assert not output.exists()


def test_libraries_of_itk_print_nothing_about_a_truncated_image(
    inputs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "moving.mha"
    itk.imwrite(itk.imread(str(inputs / "moving.nrrd")), str(path))
    path.write_bytes(path.read_bytes()[:-100])
    code = "from itk_nephi.cli import main; main()"
    command = [sys.executable, "-c", code, "register", inputs / "fixed.nrrd", path, "-o", tmp_path]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert f"expected MOVING to be an image that ITK can read, got {path}" in result.stderr


def test_what_is_no_image_is_refused(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mha").write_text("once upon a time")
    for path, fragment in (
        (tmp_path / "none.mha", "which does not exist"),
        (tmp_path, "a folder"),
        (tmp_path / "text.mha", "image that ITK can read"),
        (inputs / "landmarks.csv", "image that ITK can read"),
    ):
        result = run("register", path, inputs / "moving.nrrd", "-o", tmp_path / "output")
        assert_fails(result, "expected FIXED to be", str(path), fragment)
    assert not (tmp_path / "output").exists()


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        result = run("register", "none.mha", "none.mha", "-o", output)
        assert_fails(result, "expected --output to be where files can be written", str(output))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert_fails(run("register", "none.mha", "none.mha", "-o", tmp_path), "--output", str(tmp_path))


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (["--device", "abacus"], ["device", "abacus"]),
        (["--steps", "-3"], ["steps", "-3"]),
        (["--points", "0"], ["points", "0"]),
        (["--gradicon-weight", "nan"], ["gradicon_weight", "nan"]),
        (["--smoothing-sigmas", "2,-1"], ["smoothing_sigmas", "-1"]),
        (
            ["--smoothing-sigmas", "much"],
            ["--smoothing-sigmas", "numbers separated by commas", "much"],
        ),
        (
            ["--initial-transform", "afine"],
            ["--initial-transform", "identity, geometry, moments, affine", "afine"],
        ),
    ],
)
def test_bad_settings_are_refused(
    inputs: Path, tmp_path: Path, options: list[str], fragments: list[str]
) -> None:
    output = tmp_path / "output"
    assert_fails(register(inputs, output, *options), "expected", *fragments)
    assert not output.exists()


def test_an_initial_transform_of_another_dimension_is_refused(inputs: Path, tmp_path: Path) -> None:
    result = register(inputs, tmp_path / "output", "--initial-transform", inputs / "affine3d.tfm")
    assert_fails(result, "expected --initial-transform in 2 dimensions like the images")


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "a CSV file with a header"),
        ("x,y\n1,2\n", "the columns fixed_x, fixed_y, moving_x, moving_y, got"),
        ("fixed_x,fixed_y,moving_x,moving_y\n", "with 0 rows"),
        ("fixed_x,fixed_y,moving_x,moving_y\n1,2,3\n", "4 columns in every row"),
        ("fixed_x,fixed_y,moving_x,moving_y\n1,2,3,4\n1,2,tree,4\n", "'tree' in row 2, column mov"),
        ("fixed_x,fixed_y,moving_x,moving_y\n1,nan,3,4\n", "'nan' in row 1, column fixed_y"),
    ],
)
def test_bad_landmarks_are_refused(inputs: Path, tmp_path: Path, text: str, fragment: str) -> None:
    path = tmp_path / "landmarks.csv"
    path.write_text(text)
    output = tmp_path / "output"
    assert_fails(
        register(inputs, output, "--evaluation-landmarks", path),
        "--evaluation-landmarks",
        str(path),
        fragment,
    )
    assert not output.exists()


def test_a_traceback_is_shown_on_demand(tmp_path: Path) -> None:
    result = run("--debug", "register", "none.mha", "none.mha", "-o", tmp_path / "output")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("itk-nephi: error: expected FIXED to be")


# transform-image


@pytest.mark.parametrize("pixel", [np.uint8, np.int16, np.uint16, np.float32, np.float64, np.int32])
def test_an_image_is_resampled_as_itk_does_and_keeps_its_pixel_type(
    inputs: Path, tmp_path: Path, pixel: type
) -> None:
    values = np.random.default_rng(0).integers(0, 200, size=(9, 11)).astype(pixel)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "moving.nrrd"))
    itk.imwrite(itk.image_from_array(np.zeros((8, 10), np.uint8)), str(tmp_path / "grid.nrrd"))
    output = tmp_path / "new" / "out.nrrd"
    transform = read_transform(inputs / "affine.tfm")
    for interpolation, interpolator in (
        ("linear", itk.LinearInterpolateImageFunction),
        ("nearest", itk.NearestNeighborInterpolateImageFunction),
        ("bspline", itk.BSplineInterpolateImageFunction),
    ):
        files = [tmp_path / "moving.nrrd", inputs / "affine.tfm"]
        options = ["--reference", tmp_path / "grid.nrrd", "-o", output, "--outside", "7"]
        result = run("transform-image", *files, *options, "--interpolation", interpolation)
        assert result.exit_code == 0, result.output
        image = itk.image_from_array(values.astype(np.float64))
        expected = itk.resample_image_filter(
            image,
            transform=transform,
            interpolator=interpolator.New(image),
            size=[10, 8],
            default_pixel_value=7,
        )
        found = np.asarray(itk.imread(str(output)))
        assert found.dtype == pixel
        tolerance = 1 if pixel(0.5) == 0 else 1e-4  # ITK cuts fractions off
        inside = np.clip(expected, 0, np.iinfo(pixel).max if tolerance == 1 else None)
        if interpolation != "bspline":
            np.testing.assert_allclose(found, inside, rtol=0, atol=tolerance)
        if interpolation == "nearest":
            np.testing.assert_array_equal(found, expected)


def test_transforms_are_applied_in_the_given_order(inputs: Path, tmp_path: Path) -> None:
    stretch = itk.AffineTransform[itk.D, 2].New()
    stretch.SetMatrix(itk.matrix_from_array(np.diag([2.0, 1.0])))
    itk.transformwrite(stretch, str(tmp_path / "stretch.tfm"))
    values = np.arange(40.0, dtype=np.float32)[None].repeat(6, axis=0)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "ramp.nrrd"))
    files = [tmp_path / "ramp.nrrd", inputs / "affine.tfm", tmp_path / "stretch.tfm"]
    output = tmp_path / "out.nrrd"
    result = run("transform-image", *files, "--reference", tmp_path / "ramp.nrrd", "-o", output)
    assert result.exit_code == 0, result.output
    assert np.asarray(itk.imread(str(output)))[4, 3] == 2 * (3 + 4)


def test_color_becomes_luminance_and_says_so(tmp_path: Path) -> None:
    color = np.zeros((6, 7, 3), np.uint8) + np.array([200, 100, 0], np.uint8)
    itk.imwrite(itk.image_from_array(color, is_vector=True), str(tmp_path / "color.png"))
    itk.transformwrite(itk.IdentityTransform[itk.D, 2].New(), str(tmp_path / "identity.tfm"))
    files = [tmp_path / "color.png", tmp_path / "identity.tfm"]
    output = tmp_path / "gray.png"
    result = run("transform-image", *files, "--reference", tmp_path / "color.png", "-o", output)
    assert result.exit_code == 0, result.output
    assert "color converted to luminance" in result.stderr
    assert np.unique(itk.imread(str(output))).tolist() == [114]


def test_transform_image_refuses_what_does_not_fit(inputs: Path, tmp_path: Path) -> None:
    moving, affine = inputs / "moving.nrrd", inputs / "affine.tfm"
    labels = inputs / "moving_labels.nrrd"
    solid = tmp_path / "solid.nrrd"
    itk.imwrite(itk.image_from_array(np.ones((4, 5, 6), np.float32)), str(solid))
    output = tmp_path / "new" / "out.nrrd"
    for arguments, fragment in (
        ([moving, inputs / "affine3d.tfm", "--reference", moving], "TRANSFORM in 2 dimensions"),
        ([moving, affine, "--reference", solid], "--reference in 2 dimensions like MOVING"),
        ([labels, affine, "--reference", moving, "--outside", "256"], "pixel type, uint8, got 256"),
        ([labels, affine, "--reference", moving, "--outside", "0.5"], "pixel type, uint8, got 0.5"),
        ([moving, tmp_path / "none.h5", "--reference", moving], "expected TRANSFORM to be a file"),
        ([moving, moving, "--reference", moving], "TRANSFORM to be a transform that ITK can read"),
    ):
        assert_fails(run("transform-image", *arguments, "-o", output), fragment)
        assert not output.parent.exists()


def test_an_unknown_output_format_is_refused(inputs: Path, tmp_path: Path) -> None:
    files = [inputs / "moving.nrrd", inputs / "affine.tfm", "--reference", inputs / "fixed.nrrd"]
    result = run("transform-image", *files, "-o", tmp_path / "out.xyz")
    assert_fails(result, "expected to write an image to", "out.xyz")
    assert list(tmp_path.iterdir()) == []


# transform-points


def test_points_are_mapped_and_other_columns_stay(
    registered: tuple[Path, Result], phantom: ImagePair, tmp_path: Path
) -> None:
    points = phantom.evaluation_landmarks[0]
    lines = [f'"tip, {n}",{y!r},{x!r},{n}' for n, (x, y) in enumerate(points.tolist())]
    (tmp_path / "in.csv").write_text("name,y,x,number\n" + "\n".join(lines) + "\n")
    transform = registered[0] / "fixed_to_moving.h5"
    result = run("transform-points", tmp_path / "in.csv", transform, "-o", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert f"mapped {len(points)} points from fixed space to moving space" in result.stderr
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "name,y,x,number"
    moved = [[float(row.split(",")[3]), float(row.split(",")[2])] for row in rows]
    np.testing.assert_array_equal(moved, transform_points(read_transform(transform), points))
    assert rows[1].startswith('"tip, 1",')
    assert rows[1].endswith(",1")


def test_the_spaces_of_another_transform_are_described(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("x,y\n1,2\n")
    output = tmp_path / "out.csv"
    result = run("transform-points", tmp_path / "in.csv", inputs / "affine.tfm", "-o", output)
    assert "from TRANSFORM's input space to TRANSFORM's output space" in result.stderr
    assert output.read_text() == "x,y\n5.0,-0.5\n"


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a,b\n1,2\n", "the columns x, y, got"),
        ("x,y,z\n1,2,3\n", "expected CSV in 2 dimensions like TRANSFORM"),
        ("x,y\n1,inf\n", "'inf' in row 1, column y"),
        ("x,y\n", "with 0 rows"),
        ("\x00\xff", "CSV"),
    ],
)
def test_bad_points_are_refused(inputs: Path, tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "in.csv").write_text(text, encoding="latin-1")
    output = tmp_path / "new" / "out.csv"
    result = run("transform-points", tmp_path / "in.csv", inputs / "affine.tfm", "-o", output)
    assert_fails(result, fragment, str(tmp_path / "in.csv"))
    assert not output.parent.exists()


# transform files


def test_a_transform_with_too_few_parameters_is_refused(
    registered: tuple[Path, Result], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.tfm"
    itk.transformwrite(read_transform(registered[0] / "fixed_to_moving.h5"), str(whole))
    lines = whole.read_text().splitlines()
    longest = max(range(len(lines)), key=lambda n: len(lines[n]))
    lines[longest] = " ".join(lines[longest].split()[:-3])
    (tmp_path / "few.tfm").write_text("\n".join(lines) + "\n")
    assert_fails(run("info", tmp_path / "few.tfm"), "expected FILE", "few.tfm", "parameters", "got")


def test_a_truncated_transform_is_refused(registered: tuple[Path, Result], tmp_path: Path) -> None:
    content = (registered[0] / "fixed_to_moving.h5").read_bytes()
    (tmp_path / "part.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "in.csv").write_text("x,y\n1,2\n")
    result = run(
        "transform-points", tmp_path / "in.csv", tmp_path / "part.h5", "-o", tmp_path / "out.csv"
    )
    assert_fails(result, "expected TRANSFORM to be a transform that ITK can read", "part.h5")
    assert not (tmp_path / "out.csv").exists()


# info


def test_info_describes_a_transform(registered: tuple[Path, Result]) -> None:
    path = registered[0] / "fixed_to_moving.h5"
    result = run("info", path)
    assert result.exit_code == 0
    assert f"{path.stat().st_size:,} bytes" in result.stdout
    field = read_transform(path).GetNthTransform(1)
    assert f"1. NePhiTransform, {field.GetNumberOfParameters():,} parameters" in result.stdout
    assert "2. TranslationTransform, 2 parameters, linear" in result.stdout
    assert "format version 1" in result.stdout
    assert "width 64, depth 2, 32 frequencies" in result.stdout
    assert "domain: 40 x 33 voxels" in result.stdout


def test_info_describes_an_image(inputs: Path, phantom: ImagePair, tmp_path: Path) -> None:
    result = run("info", inputs / "fixed.nrrd")
    values = np.asarray(phantom.fixed_image)
    assert "40 x 33 voxels" in result.stdout
    assert "scalar of float, 1 a voxel" in result.stdout
    assert f"{values.min():g} to {values.max():g}" in result.stdout
    itk.imwrite(phantom.fixed_image, str(tmp_path / "image.h5"))
    assert "40 x 33 voxels" in run("info", tmp_path / "image.h5").stdout


def test_info_refuses_what_is_neither(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("once upon a time")
    assert_fails(run("info", tmp_path / "text.h5"), "FILE to be a transform that ITK can read")
    assert_fails(run("info", inputs / "landmarks.csv"), "FILE to be an image that ITK can read")


# demo, and the commands without torch


def test_the_demo_leaves_its_inputs_too(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path, "--steps", 1, "--size", 20, 18, 16)
    assert result.exit_code == 0, result.output
    images = {f"{name}.nii.gz" for name in IMAGES}
    assert {path.name for path in tmp_path.iterdir()} == RESULTS | images | {
        "landmarks.csv",
        "prediction.png",
    }
    found = re.search(
        r"Dice ([\d.]+) before, ([\d.]+) predicted .*, ([\d.]+) refined", result.stdout
    )
    assert found is not None
    before, predicted, refined = (float(overlap) for overlap in found.groups())
    assert refined > predicted > before + 0.1
    assert "landmark error" in result.stdout
    assert "Dice" in result.stdout


def test_applying_a_transform_needs_no_torch(
    registered: tuple[Path, Result], inputs: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("x,y\n1,2\n")
    transform = registered[0] / "fixed_to_moving.h5"
    moving = inputs / "moving.nrrd"
    commands = [
        ["info", transform],
        ["transform-points", tmp_path / "in.csv", transform, "-o", tmp_path / "out.csv"],
        ["transform-image", moving, transform, "--reference", moving, "-o", tmp_path / "o.mha"],
        ["convert", transform, "--reference", moving, "-o", tmp_path / "field.mha"],
        ["invert", transform, "-o", tmp_path / "inverse.h5"],
        ["jacobian", transform, "--reference", moving, "-o", tmp_path / "jacobian.mha"],
    ]
    code = f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    def find_spec(name, *arguments):
        return None if name in ("torch", "matplotlib") else PathFinder.find_spec(name, *arguments)

    def find_distributions(context):
        return [] if context.name == "torch" else PathFinder.find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from itk_nephi.cli import app
for command in {[[str(part) for part in command] for command in commands]!r}:
    assert app(command, standalone_mode=False) in (None, 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "o.mha").exists()


# register --model


@pytest.fixture(scope="module")
def model_file(inputs: Path) -> Path:
    field = FieldSettings(width=8, frequencies=4, global_code=2, local_channels=2, local_grid=4)
    settings = ModelSettings(
        field=field,
        encoder=EncoderSettings(filters=(4, 8), local_block=1, hidden=4),
        size=(20, 18),
        spacing=(20.0, 20.0),
    )
    model = NePhi(settings, torch.Generator().manual_seed(1))
    save_model(inputs / "model.safetensors", model)
    return inputs / "model.safetensors"


def test_a_model_predicts_and_its_steps_refine(
    inputs: Path, model_file: Path, tmp_path: Path
) -> None:
    options = ["--initial-transform", "geometry", "--points", 100, "--model", model_file]
    for more, steps in (([], 0), (["--refine-steps", 2, "--refine", "code_and_weights"], 2)):
        result = register(inputs, tmp_path, *options, *more)
        assert result.exit_code == 0, result.output
        metrics = json.loads((tmp_path / "metrics.json").read_text())
        assert metrics["steps"] == steps
        assert metrics["inputs"]["model"] == str(model_file)
        assert metrics["settings"]["field"]["width"] == 8
        assert {file.name for file in tmp_path.iterdir()} == RESULTS


def test_wrong_model_options_fail_in_plain_words(
    inputs: Path, model_file: Path, tmp_path: Path
) -> None:
    for options, fragment in (
        (["--model", model_file, "--steps", 3], "expected --refine-steps with --model"),
        (["--refine-steps", 3], "refine_steps can refine, got none"),
        (
            ["--model", inputs / "fixed.nrrd"],
            "expected the model to be a file that itk-nephi wrote",
        ),
        (["--model", inputs / "none"], "which does not exist"),
    ):
        result = register(inputs, tmp_path / "output", "--initial-transform", "geometry", *options)
        assert_fails(result, fragment)
