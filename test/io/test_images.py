from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.images import read_image, read_image_header, read_scalar_header, write_image
from itk_nephi.spatial.domain import ImageDomain

COLOR = np.zeros((6, 7, 3), np.uint8) + np.array([200, 100, 0], np.uint8)


def written(image: Any, path: Path) -> Path:
    itk.imwrite(image, str(path))
    return path


def test_a_header_is_the_domain_of_the_image(image: Any, tmp_path: Path) -> None:
    header = read_image_header(written(image, tmp_path / "a.nrrd"), "FIXED")
    found, expected = header.domain, ImageDomain.of(image)
    assert found.size == expected.size
    for one, other in (
        (found.spacing, expected.spacing),
        (found.origin, expected.origin),
        (found.direction, expected.direction),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert (header.pixel, header.component, header.components) == ("scalar", "float", 1)


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (np.uint8, np.uint8),
        (np.int8, np.int16),
        (np.uint16, np.uint16),
        (np.int16, np.int16),
        (np.uint32, np.uint32),
        (np.int32, np.int32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int64, np.float64),
    ],
)
def test_values_are_those_of_the_file(tmp_path: Path, stored: type, found: type) -> None:
    values = np.arange(-8, 22).reshape(5, 6).astype(stored)
    # ITK for Python has no images of some of these: the header says what the voxels are
    header = "NRRD0004\ntype: {}\ndimension: 2\nsizes: 6 5\nencoding: raw\nendian: little\n\n"
    kind = {"float32": "float", "float64": "double"}.get(values.dtype.name, values.dtype.name)
    content = header.format(kind).encode() + values.tobytes()
    (tmp_path / "a.nrrd").write_bytes(content)
    image = np.asarray(read_image(tmp_path / "a.nrrd", "FIXED"))
    assert image.dtype == found
    np.testing.assert_array_equal(image, values)


def test_color_becomes_its_luminance_and_that_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(itk.image_from_array(COLOR, is_vector=True), tmp_path / "color.png")
    with caplog.at_level(logging.WARNING):
        image = read_image(path, "FIXED")
    red, green = 0.2125, 0.7154  # of the sRGB standard
    assert np.unique(image).tolist() == [round(red * 200 + green * 100)]
    assert caplog.messages == [f"{path}: color converted to luminance"]


@pytest.mark.parametrize(
    ("values", "is_vector", "message"),
    [
        (np.ones((3, 3, 3, 3), np.float32), False, r"in 2 or 3 dimensions, got .* 3 x 3 x 3 x 3$"),
        (np.ones((1, 6, 7), np.float32), False, r"7 x 6 x 1; save a single slice as a 2D image$"),
        (np.ones((6, 7, 2), np.float32), True, r"one value a voxel \(or RGB\), got .* with 2$"),
    ],
)
def test_what_is_no_scalar_image_is_named(
    tmp_path: Path, values: Any, is_vector: bool, message: str
) -> None:
    path = written(itk.image_from_array(values, is_vector=is_vector), tmp_path / "a.nrrd")
    assert read_image_header(path, "FIXED").size[-1] == values.shape[0]
    with pytest.raises(ValueError, match=f"expected FIXED to .*{message}"):
        read_scalar_header(path, "FIXED")


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "gipl", "gipl.gz", "mha", "nrrd", "png"])
def test_a_file_that_lacks_its_end_is_no_image(tmp_path: Path, suffix: str) -> None:
    values = np.random.default_rng(0).integers(0, 255, (7, 20, 30)).astype(np.uint8)
    values = values[0] if suffix == "png" else values
    path = written(itk.image_from_array(values), tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_image(path, "FIXED"), values)
    content = path.read_bytes()
    for kept in (len(content) - 20, len(content) // 2):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=f"expected FIXED to be an image .*, got {path}: "):
            read_image(path, "FIXED")


def test_a_short_file_says_by_how_much(tmp_path: Path) -> None:
    path = written(itk.image_from_array(np.ones((4, 5), np.uint8)), tmp_path / "a.gipl")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="truncated: expected 20 bytes of voxels, got 17"):
        read_image_header(path, "FIXED")


def test_an_image_survives_the_way_to_a_file_and_back(image: Any, tmp_path: Path) -> None:
    write_image(image, tmp_path / "a.nrrd")
    found = read_image(tmp_path / "a.nrrd", "FIXED")
    np.testing.assert_array_equal(found, image)
    assert ImageDomain.of(found).matches(ImageDomain.of(image))


def test_images_are_compressed(tmp_path: Path) -> None:
    values = np.zeros((50, 60), np.float32)
    write_image(itk.image_from_array(values), tmp_path / "a.nrrd")
    assert (tmp_path / "a.nrrd").stat().st_size < values.nbytes / 4


def test_a_format_that_itk_has_not_is_named(image: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    with pytest.raises(ValueError, match=f"expected to write an image to {path}: Could not cr"):
        write_image(image, path)
