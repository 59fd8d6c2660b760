from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.command_line import assert_fails, run

from itk_nephi.models.serialization import load_model
from itk_nephi.training import training
from itk_nephi.training.config import TrainingConfig

CONFIG = Path(__file__).parents[2] / "configs" / "triangles-circles.toml"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the training is asked for, instead of being done; ``stopped`` is what it returns."""
    asked: dict[str, Any] = {"stopped": False}

    def watched(*arguments: Any, **options: Any) -> bool:
        asked.update(options, arguments=arguments)
        return bool(asked["stopped"])

    monkeypatch.setattr(training, "train", watched)
    return asked


def test_the_training_is_that_of_the_file(asked: dict[str, Any], tmp_path: Path) -> None:
    result = run("train", CONFIG, "-o", tmp_path / "model", "--device", "cuda")
    assert result.exit_code == 0, result.output
    pairs, validation, model, settings, output = asked["arguments"]
    assert len(pairs) > len(validation) > 0
    assert model.size == (64, 64)
    assert settings.steps >= 1000
    assert output == tmp_path / "model"
    assert (asked["resume"], asked["device"]) == (False, "cuda")
    assert result.stderr == f"wrote {tmp_path / 'model' / 'best.safetensors'}\n"


def test_options_change_the_training_of_the_file(asked: dict[str, Any], tmp_path: Path) -> None:
    options = ["--steps", 7, "--smoothing-sigma", 1.5, "--mixed-precision", "--local-windows", "3"]
    read = TrainingConfig.read(CONFIG).training
    assert run("train", CONFIG, "-o", tmp_path, *options).exit_code == 0
    assert asked["arguments"][3] == replace(
        read, steps=7, smoothing_sigma=1.5, mixed_precision=True, local_windows=(3.0,)
    )
    assert_fails(run("train", CONFIG, "-o", tmp_path, "--steps", 0), "steps of at least 1, got 0")


def test_an_interruption_says_how_to_go_on(asked: dict[str, Any], tmp_path: Path) -> None:
    asked["stopped"] = True
    result = run("train", CONFIG, "-o", tmp_path, "--resume")
    assert asked["resume"]
    assert result.exit_code == 130
    assert result.stderr == f"itk-nephi: interrupted; --resume continues from {tmp_path}\n"


def test_data_lie_where_the_option_says(asked: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[pairs]\ntable = "pairs.csv"\n[validation]\ntable = "pairs.csv"\n'
        "[model]\nsize = [24, 24]\nspacing = [1, 1]\n"
    )
    for options, folder in (([], tmp_path), (["--data", tmp_path / "there"], tmp_path / "there")):
        result = run("train", tmp_path / "a.toml", "-o", tmp_path / "model", *options)
        assert_fails(result, str(folder / "pairs.csv"), "which does not exist")
    assert "arguments" not in asked


def test_a_file_that_is_none_is_named(asked: dict[str, Any], tmp_path: Path) -> None:
    assert_fails(run("train", tmp_path / "none.toml", "-o", tmp_path), "which does not exist")
    assert "arguments" not in asked


def test_the_command_trains_and_resumes(tmp_path: Path) -> None:
    pairs = 'phantom = "deformed_shape"\ncount = 2\nsize = 24\nmotion = 2\n'
    (tmp_path / "config.toml").write_text(
        f"[pairs]\n{pairs}[validation]\n{pairs}"
        "[model]\nsize = [24, 24]\nspacing = [1, 1]\n[model.field]\nwidth = 8\nlocal_grid = 4\n"
        "[model.encoder]\nfilters = [4, 4]\n"
        "[training]\nsteps = 2\nbatch_size = 1\npoints = 20\nregularizer_points = 2\n"
    )
    arguments = ["train", tmp_path / "config.toml", "-o", tmp_path / "out"]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "step 2 of 2: dissimilarity" in result.stderr
    assert "dice" in result.stderr
    assert load_model(tmp_path / "out" / training.BEST).settings.field.width == 8
    assert_fails(run(*arguments), "without checkpoint.pt")
    assert run(*arguments, "--resume").exit_code == 0
