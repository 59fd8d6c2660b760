from __future__ import annotations

import json
from pathlib import Path

import itk
import numpy as np
from support.command_line import assert_fails, run
from support.transforms import read_transform
from typer.testing import Result

from itk_nephi.spatial.image_pair import ImagePair


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


def test_json_has_the_same_numbers(
    registered: tuple[Path, Result], inputs: Path, phantom: ImagePair
) -> None:
    found = json.loads(run("info", registered[0] / "fixed_to_moving.h5", "--json").stdout)
    transform = read_transform(registered[0] / "fixed_to_moving.h5")
    assert [part["class"] for part in found["parts"]] == ["NePhiTransform", "TranslationTransform"]
    assert found["parts"][0]["parameters"] == transform.GetNthTransform(1).GetNumberOfParameters()
    assert (found["input_dimension"], found["parts"][0]["field"]["width"]) == (2, 64)
    image = json.loads(run("info", inputs / "fixed.nrrd", "--json").stdout)
    values = np.asarray(phantom.fixed_image)
    assert (image["kind"], image["size"]) == ("image", [40, 33])
    assert image["range"] == [values.min(), values.max()]
    np.testing.assert_allclose(image["origin"], phantom.fixed_image.GetOrigin())
