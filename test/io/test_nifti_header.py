from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.images import read_image, read_voxels
from itk_nephi.io.nifti_header import NotFinite
from itk_nephi.io.transforms import read_transform
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import vector_image

NAN, INF = float("nan"), float("inf")


def content(path: Path) -> bytearray:
    write_image(itk.image_from_array(np.arange(120, dtype=np.uint8).reshape(4, 5, 6)), path)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize(
    ("place", "code", "values", "words"),
    [
        (80, "f", [0.0], "a spacing of"),
        (84, "f", [NAN], "a spacing of"),
        (88, "f", [-INF], "a spacing of"),
        (108, "f", [-4.0], "its voxels begin at byte -4"),
        (108, "f", [0.0], "its voxels begin at byte 0"),
        (108, "f", [NAN], "its voxels begin at byte nan"),
        (112, "f", [INF], "scales voxels by inf"),
        (112, "2f", [1.0, NAN], "scales voxels by 1 and nan"),
        (344, "4s", [b"n+7\0"], "names the format"),
        (344, "4s", [b"ni1\0"], "names the format"),
        (280, "f", [NAN], "axes that are not finite"),
        (292, "f", [INF], "axes that are not finite"),
        (256, "f", [NAN], "axes that are not finite"),
    ],
)
def test_a_number_that_itk_would_take_a_default_for_is_refused(
    tmp_path: Path, place: int, code: str, values: list[Any], words: str
) -> None:
    path = tmp_path / "a.nii"
    damaged = content(path)
    struct.pack_into("<2h", damaged, 252, 1, 1)
    struct.pack_into(f"<{code}", damaged, place, *values)
    path.write_bytes(damaged)
    with pytest.raises(
        ValueError, match=f"expected FIXED to be .*, got {path}: damaged: .*{words}"
    ):
        read_image(path, "FIXED")


@pytest.mark.parametrize("given", ["a.hdr", "a.img"])
def test_either_file_of_a_pair_is_checked(tmp_path: Path, given: str) -> None:
    content(tmp_path / given)
    read_image(tmp_path / given, "FIXED")
    damaged = bytearray((tmp_path / "a.hdr").read_bytes())
    struct.pack_into("<f", damaged, 112, INF)
    (tmp_path / "a.hdr").write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged: its header scales voxels by inf"):
        read_image(tmp_path / given, "FIXED")


def test_a_slope_that_is_no_number_says_that_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    unscaled = content(path)
    struct.pack_into("<2f", unscaled, 112, NAN, NAN)
    path.write_bytes(unscaled)
    assert np.asarray(read_image(path, "FIXED")).max() == 119


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.hdr", "a.img", "a.hdr.gz", "a.img.gz", "a.nrrd"]
)
def test_voxels_that_are_not_finite_are_not_taken_for_0(
    tmp_path: Path, kind: type, name: str
) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((40, 50, 60)).astype(kind)
    values[rng.random(values.shape) < 0.01] = np.nan
    values[0, 0, 1], values[-1, -1, -1] = np.nan, np.nan
    write_image(itk.image_from_array(values), tmp_path / name)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / name, "FIXED")), values)


def test_a_displacement_that_is_not_finite_is_found_where_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((4, 5, 6, 3)).astype(np.float32)
    values[1, 2, 3, 1] = np.nan
    grid = itk.image_from_array(np.zeros((4, 5, 6), np.uint8))
    write_image(vector_image(values, grid, itk.F), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_voxels(tmp_path / "a.nii.gz", "FIELD")[1][0], values)
    with pytest.raises(ValueError, match="FIELD of finite displacements"):
        read_transform(tmp_path / "a.nii.gz", "FIELD")


def test_blocks_of_any_length_show_the_same() -> None:
    values = np.random.default_rng(0).random(500)
    values[[0, 7, 8, 333, 499]] = np.nan
    file = bytes(77) + values.tobytes() + b"\xff" * 100
    for length in (1, 3, 8, 50, 10_000):
        seen = NotFinite("f8", 77, values.nbytes)
        for start in range(0, len(file), length):
            seen.look_at(file[start : start + length])
        np.testing.assert_array_equal(seen.indices, [0, 7, 8, 333, 499])
