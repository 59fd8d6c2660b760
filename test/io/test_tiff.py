from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.images import read_image, read_image_header

VALUES = np.arange(10 * 6 * 7, dtype=np.uint16).reshape(10, 6, 7)
MICRONS = "ImageJ=1.53t\nimages=10\nslices=10\nspacing=2.5\nunit=micron\n"
PIXELS = (
    '<?xml version="1.0"?><OME><Image ID="Image:0"><Pixels SizeC="1" SizeT="1" SizeX="7" SizeY="6" '
    'SizeZ="10" PhysicalSizeX="0.5" PhysicalSizeY="0.25" PhysicalSizeZ="2.5"/></Image></OME>'
)


def written(path: Path, description: str, order: str = "<", *, counts: bool = True) -> Path:
    """Write slices of 2 x 4 pixels for each unit of length, as ImageJ and OME do."""
    content = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link, text = 4, description.encode() + b"\0"
    for plane in VALUES:
        start = len(content)
        content += plane.astype(plane.dtype.newbyteorder(order)).tobytes() + text + bytes(start % 2)
        after = start + plane.nbytes
        fractions = len(content)
        content += struct.pack(f"{order}4I", 2_000_000, 1_000_000, 4_000_000, 1_000_000)
        tags: list[tuple[int, int, int, Any]] = [
            (256, 4, 1, plane.shape[1]),
            (257, 4, 1, plane.shape[0]),
            (258, 4, 1, 16),
            (259, 4, 1, 1),
            (262, 4, 1, 1),
            (270, 2, len(text), after),
            (273, 4, 1, start),
            (277, 4, 1, 1),
            (278, 4, 1, plane.shape[0]),
            *([(279, 4, 1, plane.nbytes)] if counts else []),
            (282, 5, 1, fractions),
            (283, 5, 1, fractions + 8),
            (296, 4, 1, 1),
        ]
        struct.pack_into(f"{order}I", content, link, len(content))
        content += struct.pack(f"{order}H", len(tags))
        for tag in tags:
            content += struct.pack(f"{order}HHII", *tag)
        link = len(content)
        content += bytes(4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("description", "unit"),
    [
        (MICRONS, 1e-3),
        (MICRONS.replace("micron", "mm"), 1),
        (MICRONS.replace("micron", "inch"), 25.4),
        (PIXELS, 1e-3),
        (
            PIXELS.replace("/>", ' PhysicalSizeXUnit="nm" PhysicalSizeYUnit="nm"/>'),
            (1e-6, 1e-6, 1e-3),
        ),
        (MICRONS.replace("micron", "parsec"), None),
        (MICRONS.replace("unit=micron\n", ""), None),
        (PIXELS.replace("PhysicalSize", "Other"), None),
        ("a picture", None),
    ],
)
def test_a_voxel_size_is_that_of_the_description_in_mm(
    tmp_path: Path, description: str, unit: Any, order: str
) -> None:
    path = written(tmp_path / "a.tif", description, order)
    image = read_image(path, "FIXED")
    np.testing.assert_array_equal(image, VALUES)
    expected = np.ones(3) if unit is None else np.array([0.5, 0.25, 2.5]) * unit
    np.testing.assert_allclose(image.GetSpacing(), expected)
    np.testing.assert_allclose(read_image_header(path, "FIXED").spacing, expected)


def test_a_unit_that_is_not_known_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "a.tif", MICRONS.replace("micron", "parsec"))
    with caplog.at_level(logging.WARNING):
        assert tuple(read_image(path, "FIXED").GetSpacing()) == (1, 1, 1)
    size = "0.5 parsec x 0.25 parsec x 2.5 parsec"
    assert caplog.messages == [
        f"{path}: its voxel size, {size}, is ignored: save it in mm, or as NRRD"
    ]


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (MICRONS.replace("slices=10", "channels=2\nslices=5"), "of 2 channels and 1 frames"),
        (MICRONS.replace("slices=10", "frames=10"), "of 1 channels and 10 frames"),
        (MICRONS.replace("10", "12"), "expected 12 slices in it, got 10"),
        (MICRONS.replace("2.5", "wide"), "its description has wide for spacing"),
        (PIXELS.replace('SizeC="1"', 'SizeC="2"'), "of 2 channels and 1 frames"),
        (PIXELS.replace('SizeT="1"', 'SizeT="5"'), "of 1 channels and 5 frames"),
        (PIXELS.replace('SizeZ="10"', 'SizeZ="11"'), "expected 11 slices in it, got 10"),
    ],
)
def test_pages_that_are_not_the_slices_of_one_image_are_refused(
    tmp_path: Path, description: str, words: str
) -> None:
    path = written(tmp_path / "a.tif", description)
    with pytest.raises(ValueError, match=f"got {path}: .*{words}"):
        read_image(path, "FIXED")


def test_samples_of_a_color_are_no_channels(tmp_path: Path) -> None:
    color = np.random.default_rng(0).integers(0, 255, (6, 7, 3)).astype(np.uint8)
    itk.imwrite(itk.image_from_array(color, is_vector=True), str(tmp_path / "a.tif"))
    content = bytearray((tmp_path / "a.tif").read_bytes())
    text = PIXELS.replace('SizeC="1"', 'SizeC="3"').replace('SizeZ="10"', 'SizeZ="1"')
    start = struct.unpack_from("<I", content, 4)[0]
    tags = [content[start + 2 + 12 * n :][:12] for n in range(content[start])]
    tags.append(struct.pack("<HHII", 270, 2, len(text), len(content)))
    struct.pack_into("<I", content, 4, len(content) + len(text))
    content += text.encode() + struct.pack("<H", len(tags)) + b"".join(sorted(tags)) + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    assert read_image_header(tmp_path / "a.tif", "FIXED").is_color


def test_lengths_of_strips_may_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", MICRONS, counts=False)
    np.testing.assert_array_equal(read_image(path, "FIXED"), VALUES)
