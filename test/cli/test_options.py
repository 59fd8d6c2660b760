"""Options of `itk-nephi register` that say how long it may take, and what it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import itk
import pytest
from support.command_line import assert_fails, parameters, run
from typer.testing import Result

from itk_nephi.cli.options import EVERYDAY, WITHOUT_OPTION, Preset, registration_settings
from itk_nephi.fields.settings import flat_settings
from itk_nephi.io.pair_files import write_pair
from itk_nephi.io.settings import settings_from_content
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration import pairwise
from itk_nephi.registration.result import Progress
from itk_nephi.registration.settings import RefinedName, RegistrationSettings

QUICK = ["--steps", 3, "--points", 100, "--initial-transform", "identity"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_pair(deformed_shape(2, size=24, motion=2, seed=1).pair, folder, ".nrrd")
    return folder


def register(inputs: Path, output: Path, *options: Any) -> Result:
    images = (inputs / "fixed.nrrd", inputs / "moving.nrrd")
    return run("register", *images, "-o", output, *QUICK, *options)


def changed_settings(preset: Preset | None, **changes: Any) -> RegistrationSettings:
    return registration_settings(preset, None, None, changes)


def test_single_options_change_a_preset() -> None:
    for preset in Preset:
        expected = RegistrationSettings.preset(preset.value)
        assert changed_settings(preset) == expected
        changed = changed_settings(preset, steps=7, gradicon_weight=0.25)
        assert (changed.steps, changed.points) == (7, expected.points)
        assert changed.gradicon_weight == 0.25
    assert changed_settings(Preset.fast, points=100).regularizer_points == 100
    assert changed_settings(None) == RegistrationSettings.preset("default")


def test_a_predicted_code_is_refined_at_random_points_unless_a_similarity_is_given() -> None:
    found = registration_settings(Preset.fast, None, None, {}, "code")
    assert found == RegistrationSettings.preset("fast", similarity="local_ncc")
    cases: list[tuple[dict[str, Any], RefinedName | None]] = [
        ({"similarity": "windowed_ncc"}, "code_and_weights"),
        ({}, "splines"),
        ({}, None),
    ]
    for given, refine in cases:
        found = registration_settings(None, None, None, given, refine)
        assert found == RegistrationSettings.preset("default")


def test_every_setting_that_is_no_function_has_an_option_with_help_and_default() -> None:
    options = parameters("register")
    for name, entry in flat_settings(RegistrationSettings).items():
        if name not in WITHOUT_OPTION:
            assert options[name].opts == [f"--{name.replace('_', '-')}"]
            assert options[name].help.startswith(entry.help)
            assert (options[name].rich_help_panel is None) == (name in EVERYDAY)
    assert options["smoothing_sigmas"].help.endswith("Default 8,4,2,1,0.5 voxels.")
    assert options["memory_limit"].help.endswith("In MiB.")
    assert [name for name in options if name in EVERYDAY] == list(EVERYDAY)


def test_an_option_changes_the_setting_of_its_name(inputs: Path, tmp_path: Path) -> None:
    values = {
        "bending_weight": 0.5,
        "width": 8,
        "local_windows": (3.0,),
        "smoothing_sigmas": (1.0, 0.0),
        "early_stop": True,
        "similarity": "local_ncc",
        "network_learning_rate": 1e-4,
    }
    arguments: list[Any] = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(option)
        else:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            arguments += [option, text]
    assert register(inputs, tmp_path, *arguments).exit_code == 0
    written = json.loads((tmp_path / "metrics.json").read_text())["settings"]
    found = settings_from_content(RegistrationSettings, written, "metrics.json")
    assert found == RegistrationSettings().changed(**values, steps=3, points=100)


def test_settings_come_from_a_file_and_single_options_change_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("steps = 7\nsmoothing_sigmas = [3, 1.5]\n[field]\nwidth = 16\n")
    expected = RegistrationSettings().changed(steps=7, smoothing_sigmas=(3.0, 1.5), width=16)
    assert registration_settings(None, path, None, {}) == expected
    changed = registration_settings(None, path, None, {"depth": 1})
    assert changed == expected.changed(depth=1)
    with pytest.raises(ValueError, match=r"one of --preset, .*, got --preset and --settings"):
        registration_settings(Preset.default, path, None, {})
    path.write_text("step = 7")
    with pytest.raises(ValueError, match="unknown key step; is it steps"):
        registration_settings(None, path, None, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--local-windows", "2,x"], "expected --local-windows to be numbers separated by commas"),
        (["--width", 0], "expected width of at least 1, got 0"),
        (["--similarity", "ssd"], "expected similarity to be one of local_ncc, windowed_ncc,"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    inputs: Path, tmp_path: Path, options: list[Any], message: str
) -> None:
    assert_fails(register(inputs, tmp_path / "output", *options), message)


def test_limits_reach_the_registration_and_its_settings(inputs: Path, tmp_path: Path) -> None:
    limits = ["--preset", "fast", "--early-stop", "--max-time", 1000, "--memory-limit", 900.5]
    result = register(inputs, tmp_path, *limits)
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "metrics.json").read_text())["settings"]
    assert settings["points"] == 100
    assert settings["early_stop"]
    assert settings["max_time"] == 1000
    assert settings["memory_limit"] == 900.5


def test_too_little_memory_is_one_sentence(inputs: Path, tmp_path: Path) -> None:
    result = register(inputs, tmp_path / "output", "--memory-limit", 0.1)
    assert_fails(result, "expected memory_limit of at least", "576 voxels and 100 points, got 0.1")


def test_a_checkpoint_lets_the_same_command_go_on(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pairwise.register
    path = tmp_path / "state.checkpoint"

    def interrupted(*arguments: Any, **options: Any) -> Any:
        def callback(progress: Progress) -> None:
            if progress.done == 3:
                raise KeyboardInterrupt

        return original(*arguments, **options | {"callback": callback})

    monkeypatch.setattr(pairwise, "register", interrupted)
    assert register(inputs, tmp_path / "a", "--checkpoint", path).exit_code == 130
    monkeypatch.setattr(pairwise, "register", original)
    assert_fails(
        register(inputs, tmp_path / "a", "--checkpoint", path, "--seed", 1),
        "same images with the same settings",
        "another seed",
    )
    assert register(inputs, tmp_path / "a", "--checkpoint", path).exit_code == 0
    assert not path.exists()
    assert register(inputs, tmp_path / "b").exit_code == 0
    for name in ("fixed_to_moving.h5", "moving_to_fixed.h5"):
        (found,), (expected,) = (
            itk.transformread(str(tmp_path / folder / name)) for folder in ("a", "b")
        )
        assert list(found.GetParameters()) == list(expected.GetParameters())


def test_a_warm_start_goes_on_from_a_file(inputs: Path, tmp_path: Path) -> None:
    assert register(inputs, tmp_path / "first").exit_code == 0
    transforms = {
        name: tmp_path / "first" / f"{name}.h5" for name in ("fixed_to_moving", "moving_to_fixed")
    }
    options = ["--warm-start", transforms["fixed_to_moving"]]
    assert register(inputs, tmp_path / "second", *options).exit_code == 0
    seen = json.loads((tmp_path / "second" / "metrics.json").read_text())["inputs"]
    assert seen["warm_start"] == str(transforms["fixed_to_moving"])
    options = ["--warm-start", transforms["moving_to_fixed"]]
    assert_fails(
        register(inputs, tmp_path / "third", *options),
        "--warm-start to be fixed_to_moving.h5",
        "begins with TranslationTransform",
    )


def test_the_ten_everyday_options_come_first() -> None:
    panels: dict[str | None, list[str]] = {}
    for option in parameters("register").values():
        if option.param_type_name == "option":
            panels.setdefault(option.rich_help_panel, []).append(option.opts[-1])
    assert panels[None] == [
        "--output",
        "--fixed-mask",
        "--moving-mask",
        "--initial-transform",
        "--preset",
        "--config",
        "--similarity",
        "--max-time",
        "--device",
        "--seed",
    ]
    assert list(panels)[-1] == "Further settings"
