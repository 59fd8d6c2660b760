from __future__ import annotations

import runpy
from pathlib import Path

import itk
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, output: Path, *options: object) -> None:
    main = runpy.run_path(str(EXAMPLES / name))["main"]
    main([str(option) for option in ("-o", output, "--steps", 10, *options)])


def test_all_examples_are_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "lung_ct.py", "histology_2d.py", "itk_pipeline.py"
    }  # fmt: skip


def test_lung_ct(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("lung_ct.py", tmp_path)
    told = capsys.readouterr().out
    assert "folding: " in told
    assert "landmark error: " in told
    warped = itk.imread(str(tmp_path / "warped.nii.gz"))
    determinants = itk.imread(str(tmp_path / "jacobian_determinant.nii.gz"))
    assert np.asarray(warped).shape == np.asarray(determinants).shape == (48, 56, 64)


def test_lung_ct_takes_files(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(20, 22, 24)).astype(np.float32)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "a.nrrd"))
    image = tmp_path / "a.nrrd"
    run("lung_ct.py", tmp_path / "output", "--fixed", image, "--moving", image)
    warped = itk.imread(str(tmp_path / "output" / "warped.nii.gz"))
    assert np.asarray(warped).shape == values.shape


def test_histology_2d(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("histology_2d.py", tmp_path)
    assert "inverse consistency error: " in capsys.readouterr().out
    points = np.loadtxt(tmp_path / "points.csv", delimiter=",", skiprows=1)
    (transform,) = itk.transformread(str(tmp_path / "fixed_to_moving.h5"))
    np.testing.assert_allclose(transform.TransformPoint(points[0, :2].tolist()), points[0, 2:])


def test_itk_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("itk_pipeline.py", tmp_path)
    assert capsys.readouterr().out.startswith("step 10: ")
    labels = itk.imread(str(tmp_path / "labels_on_fixed.nii.gz"))
    fixed = itk.imread(str(tmp_path / "fixed.nii.gz"))
    assert np.asarray(labels).shape == np.asarray(fixed).shape
    assert set(np.unique(labels)) == {0, 1, 2, 3}
