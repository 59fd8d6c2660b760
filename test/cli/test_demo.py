from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.command_line import PHANTOM_IMAGES, RESULTS, run

from itk_nephi.io.pair_files import PairPaths


def test_an_interrupted_demo_reports_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(paths: PairPaths, *_: Any, **__: Any) -> None:
        assert all(path.is_file() for path in paths.files.values())
        raise KeyboardInterrupt

    monkeypatch.setattr("itk_nephi.cli.demo.register_paths", interrupted)
    monkeypatch.setattr(
        "itk_nephi.workflows.demonstration.show_prediction",
        lambda path, _: path.touch() or "predicted",
    )
    result = run("demo", "-o", tmp_path / "out", "--size", 18, 17, 16)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        f"itk-nephi: interrupted; the images are in {tmp_path / 'out'}"
    )


def test_a_seed_that_draws_nothing_is_refused(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path / "out", "--seed", -5)
    assert result.exit_code == 2
    assert "equal to 0" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_demo_leaves_its_inputs_too(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path, "--steps", 10, "--size", 20, 18, 16)
    assert result.exit_code == 0, result.output
    images = {f"{name}.nii.gz" for name in PHANTOM_IMAGES}
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
