from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest
from support.command_line import assert_fails, run
from support.dicom_series import write_series

from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points


@pytest.fixture(scope="module")
def chest() -> ImagePair:
    return lung(3, size=(32, 28, 24), motion=10, seed=3).pair


@pytest.fixture(scope="module")
def folder(chest: ImagePair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chest, whose moving image is turned by 120 degrees and 30 cm away."""
    folder = tmp_path_factory.mktemp("chest")
    itk.imwrite(chest.fixed_image, folder / "fixed.nrrd")
    turned = itk.image_duplicator(chest.moving_image)
    turned.SetDirection(itk.matrix_from_array(TURN @ np.asarray(turned.GetDirection())))
    turned.SetOrigin((TURN @ np.asarray(turned.GetOrigin()) + SHIFT).tolist())
    itk.imwrite(turned, folder / "moving.nrrd")
    return folder


TURN = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
SHIFT = np.array([300.0, -100.0, 50.0])


def test_a_turned_image_is_aligned_and_starts_a_registration(
    folder: Path, chest: ImagePair
) -> None:
    start = folder / "start.h5"
    result = run("align", folder / "fixed.nrrd", folder / "moving.nrrd", "-o", start)
    assert result.exit_code == 0, result.output
    fixed, moving = chest.evaluation_landmarks
    moving = moving @ TURN.T + SHIFT
    (transform,) = itk.transformread(str(start))
    errors = np.linalg.norm(transform_points(transform, fixed) - moving, axis=1)
    assert np.linalg.norm(fixed - moving, axis=1).mean() > 200
    assert errors.mean() < 12  # mm; voxels are 10 mm, and breathing is not linear


def test_a_format_of_no_transform_is_refused_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itk_nephi.cli.align.read_image", lambda *_: pytest.fail("computed"))
    output = folder / "other" / "start.nii.gz"
    result = run("align", folder / "fixed.nrrd", folder / "moving.nrrd", "-o", output)
    assert_fails(result, f"expected to write a transform to {output}, whose suffix")
    assert not output.parent.exists()


def test_masks_are_chosen_among_series_too(tmp_path: Path, folder: Path) -> None:
    uids = [write_series(tmp_path / "two", np.ones((3, 4, 5), np.int16), n) for n in (1, 2)]
    given = [folder / "fixed.nrrd", folder / "moving.nrrd", "-o", tmp_path / "a.h5"]
    result = run("align", *given, "--moving-mask", tmp_path / "two", "--series", uids[1])
    assert_fails(result, "mask of the moving image on one grid")


def test_masks_of_other_grids_are_refused_and_nothing_is_written(folder: Path) -> None:
    output = folder / "other" / "start.h5"
    mask = folder / "moving.nrrd"
    images = folder / "fixed.nrrd", folder / "moving.nrrd"
    assert_fails(
        run("align", *images, "-o", output, "--fixed-mask", mask),
        "mask of the fixed image on one grid",
    )
    assert not output.parent.exists()
