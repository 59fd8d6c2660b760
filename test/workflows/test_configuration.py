"""What a configuration holds, and that it repeats a registration."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from support.command_line import QUICK, assert_fails, register, run

from itk_nephi.fields.settings import flat_settings
from itk_nephi.io.pair_files import PairPaths, write_pair
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.workflows.configuration import configuration


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_pair(deformed_shape(2, size=24, motion=2, seed=1).pair, folder, ".nrrd")
    return folder


def parameters_of(path: Path) -> Any:
    (transform,) = itk.transformread(str(path))
    return np.array(
        transform.GetNthTransform(transform.GetNumberOfTransforms() - 1).GetParameters()
    )


def test_a_result_holds_what_repeats_it(inputs: Path, tmp_path: Path) -> None:
    labels = inputs / "fixed_labels.nrrd", inputs / "moving_labels.nrrd"
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    assert register(inputs, first, "--seed", 3, "--labels", *labels).exit_code == 0
    result = run("register", "--config", first / "config.toml", "-o", again)
    assert result.exit_code == 0, result.stderr
    name = "fixed_to_moving.h5"
    np.testing.assert_array_equal(parameters_of(again / name), parameters_of(first / name))
    assert (again / "config.toml").read_bytes() == (first / "config.toml").read_bytes()

    result = run("register", "--config", first / "config.toml", "--seed", 4, "-o", other)
    assert result.exit_code == 0, result.stderr
    assert not np.array_equal(parameters_of(other / name), parameters_of(first / name))
    assert tomllib.loads((other / "config.toml").read_text())["seed"] == 4


def test_files_are_relative_to_the_configuration(inputs: Path, tmp_path: Path) -> None:
    config = inputs / "short.toml"
    config.write_text('fixed = "fixed.nrrd"\nmoving = "moving.nrrd"\nsmoothing_sigmas = [2, 1]\n')
    result = run("register", "--config", config, "-o", tmp_path, *QUICK)
    assert result.exit_code == 0, result.stderr
    written = tomllib.loads((tmp_path / "config.toml").read_text())
    assert written["fixed"] == str(inputs / "fixed.nrrd")


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("step = 3", ["--config: got an unknown key step; is it steps?"]),
        ("labels = 'one.nrrd'", ["expected labels = [...], got 'one.nrrd'"]),
        ("fixed_mask = 3", ["expected --fixed-mask to be a file, got", "which does not exist"]),
        ("steps = {of = 3}", ["expected steps = a value"]),
        ("= 3", ["expected --config to be a TOML file"]),
    ],
)
def test_a_faulty_configuration_is_named(
    inputs: Path, tmp_path: Path, text: str, fragments: list[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    images = inputs / "fixed.nrrd", inputs / "moving.nrrd"
    result = run("register", *images, "--config", config, "-o", tmp_path / "output", *QUICK)
    assert_fails(result, *fragments)


def test_a_preset_beside_settings_is_refused(inputs: Path, tmp_path: Path) -> None:
    config = inputs / "steps.toml"
    config.write_text('fixed = "fixed.nrrd"\nmoving = "moving.nrrd"\nsteps = 3\n')
    result = run("register", "--config", config, "--preset", "fast", "-o", tmp_path)
    assert_fails(result, "expected --preset or settings in --config, got both, with steps")


def test_all_settings_that_are_no_function_are_keys() -> None:
    fixed = Path('a "b"\\\x7fé.mha')
    paths = PairPaths(fixed=fixed, moving=Path("/m.mha"), initial_transform="moments")
    settings = RegistrationSettings(max_time=3.0, dissimilarity=lambda *_: None)
    content = tomllib.loads(configuration(paths, settings, seed=1, model=None))
    given = {n for n in flat_settings(RegistrationSettings) if n not in ("dissimilarity",)}
    named = {name for name, value in content.items() if name in given}
    assert given - named == {"memory_limit"}  # not given
    assert content["fixed"] == str(fixed.absolute())
    assert (content["initial_transform"], content["seed"]) == ("moments", 1)
    assert "steps" not in tomllib.loads(configuration(paths, settings, model=Path("m.safetensors")))
