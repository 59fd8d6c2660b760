from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.image_writing import require_format, small_image, write_image
from itk_nephi.io.images import read_image
from itk_nephi.spatial.domain import ImageDomain


def test_a_format_of_fewer_axes_is_refused(tmp_path: Path) -> None:
    image = itk.image_from_array(np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(ValueError, match="not hold all voxels of 3 axes; take"):
        write_image(image, tmp_path / "a.png")


def test_a_lost_grid_is_logged_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = itk.image_from_array(np.zeros((4, 5, 6), np.float32))
    with caplog.at_level(logging.WARNING):
        write_image(image, tmp_path / "plain.tif", keeps_grid=True)
    assert not caplog.text
    image.SetOrigin([10, 20, 30])
    with caplog.at_level(logging.WARNING):
        write_image(image, tmp_path / "a.tif")
    assert "does not hold its grid" in caplog.text
    assert "origin (0, 0, 0) instead of (10, 20, 30)" in caplog.text
    for write in (write_image, require_format):
        with pytest.raises(ValueError, match="does not hold its grid"):
            write(image, tmp_path / "b.tif", keeps_grid=True)
    assert not (tmp_path / ".b.tif").exists()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_medical_formats_hold_every_grid(
    image: Any, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    small = small_image(type(image), image)
    assert ImageDomain.of(small).origin == ImageDomain.of(image).origin
    for each in (image, small):
        write_image(each, tmp_path / f"a{suffix}", keeps_grid=True)
        assert ImageDomain.of(read_image(tmp_path / f"a{suffix}", "FIXED")).matches(
            ImageDomain.of(each)
        )
    assert not caplog.text


def test_a_grid_may_begin_at_any_index(tmp_path: Path) -> None:
    image = itk.Image[itk.F, 3].New()
    region = itk.ImageRegion[3]([4, 5, 6], [3, 4, 5])
    image.SetRegions(region)
    image.Allocate(True)
    image.SetSpacing([0.5, 1, 2])
    write_image(image, tmp_path / "a.nrrd", keeps_grid=True)
    assert ImageDomain.of(read_image(tmp_path / "a.nrrd", "FIXED")).origin == (2, 5, 12)
