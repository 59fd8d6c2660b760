from __future__ import annotations

import locale
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from support.dicom_series import write_series

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.images import (
    _apart,
    read_grid,
    read_image,
    read_image_header,
    read_scalar_header,
    read_voxels,
)
from itk_nephi.io.voxels import image_from_voxels
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
        (np.ones((3, 3, 3, 3), np.float32), False, r"in 2 or 3 dimensions, got .* 3 x 3 x 3 x 3;"),
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
    with pytest.raises(
        ValueError, match=f"expected to write an image to {path}, whose suffix is none"
    ):
        write_image(image, path)


# damage


def damaged(content: bytes) -> Iterator[bytes]:
    """Yield what a file becomes that loses its end."""
    for kept in (len(content) - 1, len(content) - 30, len(content) // 2):
        yield content[:kept]


SUFFIXES = [
    *("nii", "nii.gz", "hdr", "img.gz", "gipl", "gipl.gz", "mha", "mhd", "nrrd", "nhdr", "vtk"),
    *("tif", "hdf5", "mrc", "dcm", "bmp", "jpg", "png"),
]


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cut_file_is_refused(tmp_path: Path, suffix: str, dimension: int) -> None:
    values = np.random.default_rng(0).integers(0, 255, (9, 20, 30)[-dimension:]).astype(np.uint8)
    if suffix in {2: ("gipl", "gipl.gz", "mrc", "dcm"), 3: ("bmp", "jpg", "png")}[dimension]:
        return  # a format of the other dimension
    path = written(itk.image_from_array(values), tmp_path / f"a.{suffix}")
    read_image(path, "FIXED")
    voxels = path
    for end in ("zraw", "raw", "raw.gz", "img", "img.gz"):
        if suffix in ("mhd", "nhdr", "hdr") and (tmp_path / f"a.{end}").is_file():
            voxels = tmp_path / f"a.{end}"
    for content in damaged(voxels.read_bytes()):
        voxels.write_bytes(content)
        expected = f"expected FIXED to be an image that ITK can read, got {path}: "
        with pytest.raises(ValueError, match=expected):
            read_image(path, "FIXED")
        with pytest.raises(ValueError, match=expected):
            read_image_header(path, "FIXED")


@pytest.mark.parametrize(
    "suffix", ["nii.gz", "gipl.gz", "mha", "mhd", "nrrd", "nhdr", "img.gz", "png"]
)
def test_one_flipped_bit_of_compressed_voxels_is_refused(tmp_path: Path, suffix: str) -> None:
    values = (np.random.default_rng(0).random((12, 20, 30)) * 9).astype(np.uint8)
    values = values[0] if suffix == "png" else values
    path = tmp_path / f"a.{suffix}"
    itk.imwrite(itk.image_from_array(values), str(path), compression=True)
    voxels = {"mhd": "zraw", "nhdr": "raw.gz"}.get(suffix, suffix)
    content = (tmp_path / f"a.{voxels}").read_bytes()
    for place in np.random.default_rng(1).integers(len(content) // 2, len(content), 20).tolist():
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        (tmp_path / f"a.{voxels}").write_bytes(flipped)
        with pytest.raises(ValueError, match=f"got {path}: "):
            read_image(path, "FIXED")


def test_voxels_that_are_text_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    header = "NRRD0004\ntype: int16\ndimension: 2\nsizes: 3 2\nencoding: text\n\n"
    path.write_text(header + "1 2 3\n4 5 6\n")
    np.testing.assert_array_equal(read_image(path, "FIXED"), [[1, 2, 3], [4, 5, 6]])
    path.write_text(header + "1 2 3\n4 5\n")
    with pytest.raises(ValueError, match="truncated: expected 6 numbers, got 5"):
        read_image(path, "FIXED")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.mha", "ElementDataFile = %s%s%s%n\n", "its voxels are in several files"),
        ("a.mha", "ElementDataFile = LIST\nb.raw\n", "its voxels are in several files"),
        ("a.mha", "ElementDataFile = none.raw\n", "names none.raw for the voxels, which does not"),
        ("a.mha", "", ""),
        ("a.mha", "DimSize = 2000000000 2000000000\nElementDataFile = LOCAL\n", ""),
    ],
)
def test_crafted_headers_neither_crash_nor_mislead(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    path = tmp_path / name
    size = "" if "DimSize" in content else "DimSize = 4 4\n"
    header = f"ObjectType = Image\nNDims = 2\nBinaryData = True\n{size}ElementType = MET_UCHAR\n"
    path.write_text(header + content)
    with pytest.raises(ValueError, match=f"got {path}: .*{words}"):
        read_image(path, "FIXED")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.mha", "Offset = inf 0", "has inf 0 for offset"),
        ("a.mha", "ElementSpacing = 1 nan", "has 1 nan for elementspacing"),
        ("a.mha", "TransformMatrix = 1 0 x 1", "expected numbers, got"),
        ("a.nrrd", "byte skip: -5", "skips -5 bytes"),
        ("a.vtk", "SPACING nan 1 1", "a spacing, origin or axes that are not finite"),
        ("a.vtk", "ORIGIN 0 inf 0", "a spacing, origin or axes that are not finite"),
        ("b.vtk", "one two three four", "expected numbers, got"),
    ],
)
def test_numbers_of_a_header_that_itk_would_replace_are_refused(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    text = {
        "a.mha": f"ObjectType = Image\nNDims = 2\nDimSize = 2 2\n{content}\n"
        "ElementType = MET_UCHAR\nElementDataFile = LOCAL\nabcd",
        "a.nrrd": "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\n"
        f"endian: little\n{content}\n\nabcd",
    }
    head = "# vtk DataFile Version 3.0\na\nASCII\nDATASET STRUCTURED_POINTS\nDIMENSIONS 2 2 1\n"
    data = "POINT_DATA 4\nSCALARS s float 1\nLOOKUP_TABLE default\n"
    frame = "SPACING 1 1 1\nORIGIN 0 0 0\n"
    named = content.split()[0]
    lines = [content if line.startswith(named) else line for line in frame.splitlines()]
    text["a.vtk"] = "\n".join([*head.splitlines(), *lines, *data.splitlines(), "1 2 3 4", ""])
    text["b.vtk"] = f"{head}{frame}{data}{content}\n"
    (tmp_path / name).write_text(text[name])
    with pytest.raises(ValueError, match=f"got {tmp_path / name}: .*{words}"):
        read_image(tmp_path / name, "FIXED")


def test_padding_is_no_damage_and_other_bytes_are(tmp_path: Path) -> None:
    path = written(itk.image_from_array(np.ones((4, 5), np.uint8)), tmp_path / "a.nii")
    content = path.read_bytes()
    path.write_bytes(content + bytes(64))
    assert np.asarray(read_image(path, "FIXED")).all()
    path.write_bytes(content + b"more")
    with pytest.raises(ValueError, match="damaged: it holds more than the voxels"):
        read_image(path, "FIXED")


# types


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_labels_of_64_bits_are_exact_or_refused(tmp_path: Path, kind: type) -> None:
    largest = np.iinfo(kind).max
    values = np.array([[0, 1, 2**53 + 1], [largest - 1, largest, 7]], kind)
    path = tmp_path / "a.nrrd"
    header = f"NRRD0004\ntype: {kind.__name__}\ndimension: 2\nsizes: 3 2\nencoding: raw\n"
    path.write_bytes(header.encode() + b"endian: little\n\n" + values.tobytes())
    _, voxels = read_voxels(path, "MOVING")
    assert voxels.dtype == kind
    np.testing.assert_array_equal(voxels[0, ..., 0], values)
    np.testing.assert_array_equal(read_image(path, "FIXED"), values.astype(np.uint64))
    if kind == np.int64:
        path.write_bytes(header.encode() + b"endian: little\n\n" + (-values).tobytes())
        with pytest.raises(ValueError, match=r"whole numbers of at most 2\*\*53, got"):
            read_image(path, "FIXED")


@pytest.mark.parametrize("name", ["a.NII.GZ", "a.Nii", "a.MHA", "a.NRRD", "a.PNG"])
def test_suffixes_in_upper_case_are_written_and_read(tmp_path: Path, name: str) -> None:
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    write_image(itk.image_from_array(values), tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name, "FIXED"), values)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_grid_needs_no_voxels(image: Any, tmp_path: Path) -> None:
    path = written(image, tmp_path / "a.nrrd")
    assert ImageDomain.of(read_grid(path, "--reference")).matches(ImageDomain.of(image))


# DICOM


def test_a_folder_is_its_one_series_or_the_one_that_is_chosen(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 900, (2, 6, 7, 8)).astype(np.int16)
    one = write_series(tmp_path / "scan", values[0], 1)
    image = read_image(tmp_path / "scan", "FIXED")
    np.testing.assert_array_equal(image, values[0])
    assert ImageDomain.of(image).spacing == (0.5, 0.75, 2.5)
    other = write_series(tmp_path / "scan", values[1], 2)
    with pytest.raises(ValueError, match=f"2 DICOM series, .*{one}.*: choose with --series"):
        read_image(tmp_path / "scan", "FIXED")
    np.testing.assert_array_equal(read_image(tmp_path / "scan", "FIXED", [other]), values[1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder without a DICOM series"):
        read_image(tmp_path / "empty", "FIXED")


def sheared_nifti(path: Path) -> None:
    content = bytearray(written(itk.image_from_array(np.ones((4, 5, 6))), path).read_bytes())
    struct.pack_into("<hh", content, 252, 0, 1)
    struct.pack_into("<12f", content, 280, 1, 0.3, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    path.write_bytes(content)


def sheared_nrrd(path: Path) -> None:
    path.write_bytes(
        b"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\n"
        b"space directions: (1,0,0) (0.3,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\n\n"
        + bytes(120)
    )


def sheared_meta(path: Path) -> None:
    path.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nTransformMatrix = 1 0 0 0.3 1 0 0 0 1\n"
        b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n" + bytes(120)
    )


@pytest.mark.parametrize(
    ("name", "write"), [("a.nii", sheared_nifti), ("a.nrrd", sheared_nrrd), ("a.mha", sheared_meta)]
)
def test_sheared_axes_are_refused_with_a_way_out(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    for read in (read_image, read_image_header, read_grid):
        with pytest.raises(
            ValueError, match=f"got .*{name}: its axes are sheared, .*: resample it"
        ):
            read(tmp_path / name, "FIXED")


def test_why_a_file_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    path = written(itk.image_from_array(COLOR[..., 0].copy()), tmp_path / "a.png")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=f"expected FIXED to be .*: Permission denied: {path}"):
        read_image(path, "FIXED")


@pytest.mark.parametrize(
    ("lines", "is_damage"),
    [
        (["TIFFReadDirectory: Warning, Unknown field with tag 65000"], False),
        (["WARNING: In itkReader.cxx, line 7", "Reader (0x1f): something is odd", "at all"], False),
        (["a.tif: Warning, an odd tag", "TIFFFillStrip: Read error at scanline 5"], True),
        (["PackBitsDecode: Warning, Discarding 2 bytes to avoid buffer overrun"], True),
        (["libpng error: bad adaptive filter value"], True),
    ],
)
def test_what_libraries_print_is_a_warning_if_every_part_of_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lines: list[str], is_damage: bool
) -> None:
    path = tmp_path / "a.png"
    path.touch()

    def read(_: Path) -> int:
        os.write(2, "\n".join(lines).encode())
        return 7

    if is_damage:
        with pytest.raises(ValueError, match=r"^damaged: "):
            _apart(read, path)
    else:
        with caplog.at_level(logging.WARNING):
            assert _apart(read, path) == 7
        assert len(caplog.messages) == 1


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.uint64])
def test_vectors_of_whole_numbers_are_read_and_written(
    tmp_path: Path, kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    largest = min(np.iinfo(kind).max, 2**53 - 1)
    values = np.array([[[0, 1], [2, largest], [largest - 1, 5]], [[7, 8], [9, 10], [1, 2]]], kind)

    def write(values: Any) -> Path:
        header = f"NRRD0004\ntype: {kind.__name__}\ndimension: 3\nsizes: 2 3 2\nencoding: raw\n"
        header += "kinds: vector domain domain\nendian: little\n\n"
        (tmp_path / "a.nrrd").write_bytes(header.encode() + values.tobytes())
        return tmp_path / "a.nrrd"

    header, found = read_voxels(write(values), "MOVING")
    assert found.dtype == kind
    np.testing.assert_array_equal(found[0], values)
    with caplog.at_level(logging.WARNING):
        write_image(image_from_voxels(found, header, header.domain), tmp_path / "b.nrrd")
    assert "are written as float64" in caplog.messages[0]
    np.testing.assert_array_equal(read_voxels(tmp_path / "b.nrrd", "MOVING")[1], found)
    if np.iinfo(kind).max > 2**53:
        with pytest.raises(ValueError, match=r"expected components below 2\*\*53, got 9"):
            read_voxels(write(values + kind(2**53)), "MOVING")


@pytest.mark.parametrize("components", [3, 4])
@pytest.mark.parametrize("suffix", ["mha", "mhd", "nrrd", "nii.gz", "png"])
def test_color_stays_color_in_every_format(tmp_path: Path, suffix: str, components: int) -> None:
    color = np.random.default_rng(0).integers(0, 255, (6, 7, components)).astype(np.uint8)
    image = itk.image_from_array(color, is_vector=True)
    write_image(image, tmp_path / f"a.{suffix}")
    assert read_scalar_header(tmp_path / f"a.{suffix}", "FIXED").is_color
    write_image(image, tmp_path / "b.png")
    expected = read_image(tmp_path / "b.png", "FIXED")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}", "FIXED"), expected)


def test_reading_leaves_the_locale_as_it_was(tmp_path: Path) -> None:
    values = np.zeros((4, 5, 6), np.uint8)
    before = locale.setlocale(locale.LC_ALL)
    for suffix in SUFFIXES:
        if suffix not in ("bmp", "jpg", "png"):
            read_image(written(itk.image_from_array(values), tmp_path / f"a.{suffix}"), "FIXED")
            assert locale.setlocale(locale.LC_ALL) == before, suffix
