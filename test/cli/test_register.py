from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.command_line import QUICK, RESULTS, assert_fails, parameters, register, run
from support.transforms import read_transform
from typer.testing import Result

from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.losses.similarity import SIMILARITIES
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.models.serialization import save_model
from itk_nephi.registration import pairwise
from itk_nephi.registration.instance_optimization import RegistrationSettings
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import flatten, transform_points


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


def test_what_is_chosen_is_written_and_nothing_else(inputs: Path, tmp_path: Path) -> None:
    files = {
        "transforms": {"fixed_to_moving.h5", "moving_to_fixed.h5"},
        "images": {"warped.nii.gz", "jacobian_determinant.nii.gz"},
        "evaluation": set(),
        "report": {"report.html", "overview.png"},
    }
    for chosen in ("transforms", "images, evaluation", "report"):
        output = tmp_path / chosen
        result = register(inputs, output, "--results", chosen)
        assert result.exit_code == 0, result.output
        names = chosen.split(", ")
        expected = {"metrics.json", "config.toml"}.union(*(files[name] for name in names))
        assert {path.name for path in output.iterdir()} == expected
        metrics = json.loads((output / "metrics.json").read_text())
        assert metrics["results"] == names
        assert ("after" in metrics) == (chosen != "transforms")
        assert ("NCC" in result.stdout) == ("after" in metrics)
        assert ("fixed_to_moving.h5" in result.stdout) == (chosen == "transforms")


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


def test_the_help_tells_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # narrow ones cut long words
    settings = RegistrationSettings.preset("default")
    smoothing = ",".join(f"{value:g}" for value in settings.smoothing_sigmas)
    for name, words in {
        "steps": f"smaller ones. Default {settings.steps}.",
        "points": f"see points_per_voxel. Default {settings.points}.",
        "gradicon_weight": f"invertible. Default {settings.gradicon_weight:g}.",
        "smoothing_sigmas": f"Default {smoothing} voxels.",
        "similarity": f"Default {settings.similarity}.",
    }.items():
        assert parameters("register")[name].help.endswith(words)
    assert all(name in parameters("register")["similarity"].help for name in SIMILARITIES)


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
        (["--results", "images,movies"], "expected --results to be some of transforms, images, "),
        (["--results", ""], "report, got ''"),
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
            [
                "--initial-transform",
                "identity, geometry, moments, translation, rigid, similarity, affine",
                "afine",
            ],
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
        (["--model", model_file, "--refine", "code"], "expected --refine with --refine-steps"),
        (
            ["--model", inputs / "fixed.nrrd"],
            "expected the model to be a file that itk-nephi wrote",
        ),
        (["--model", inputs / "none"], "which does not exist"),
    ):
        result = register(inputs, tmp_path / "output", "--initial-transform", "geometry", *options)
        assert_fails(result, fragment)


def test_a_checkpoint_is_none_of_the_results(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "link"):
        state = folder / "fixed_to_moving.h5"
        result = register(inputs, tmp_path, "--results", "transforms", "--checkpoint", state)
        assert_fails(result, f"expected --checkpoint to be none of the results, got {state}")


@pytest.mark.parametrize("name", ["warped.nii.gz", "fixed_to_moving.h5"])
def test_results_replace_no_input(inputs: Path, tmp_path: Path, name: str) -> None:
    source = "fixed.nrrd" if name.startswith("warped") else "affine.tfm"
    if source.endswith(".nrrd"):
        itk.imwrite(itk.imread(str(inputs / source)), str(tmp_path / name))
        files = [tmp_path / name, inputs / "moving.nrrd"]
    else:
        itk.transformwrite(read_transform(inputs / source), str(tmp_path / name))
        files = [inputs / "fixed.nrrd", inputs / "moving.nrrd"]
        files += ["--initial-transform", tmp_path / name]
    before = (tmp_path / name).read_bytes()
    assert_fails(
        run("register", *QUICK, *files, "-o", tmp_path),
        f"expected --output to replace no input, got {tmp_path / name} as both",
    )
    assert (tmp_path / name).read_bytes() == before
