from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.dicom_series import write_series

from itk_nephi.io.images import read_image

ROWS, COLUMNS = bytes.fromhex("2800100002000000"), bytes.fromhex("2800110002000000")
SLOPE = bytes.fromhex("2800531002000000")
VALUES = np.random.default_rng(0).integers(0, 250, (4, 9, 11)).astype(np.int16)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (ROWS + b"\x09\0", ROWS + b"\xff\xff", "truncated: expected 1441770 bytes of pixels"),
        (COLUMNS + b"\x0b\0", COLUMNS + b"\xff\x7f", "truncated: expected 589806 bytes of pixels"),
        (b".75\\.5", b"0.0\\.5", "a spacing of"),
        (b".75\\.5", b"-.7\\.5", "a spacing of"),
        (b".75\\.5", b"nan\\.5", "a spacing of"),
        (b".75\\.5", b"abc\\.5", "its tag"),
    ],
)
@pytest.mark.parametrize("slices", [1, 4])
def test_tags_that_do_not_fit_the_pixels_are_refused(
    tmp_path: Path, old: bytes, new: bytes, words: str, slices: int
) -> None:
    write_series(tmp_path / "scan", VALUES[:slices], 1)
    for file in (tmp_path / "scan").iterdir():
        content = file.read_bytes()
        assert old in content
        file.write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match=f"expected FIXED to be an image .*{words}"):
        read_image(tmp_path / "scan", "FIXED")


@pytest.mark.parametrize("missing", [1, 2])
def test_missing_and_doubled_slices_are_refused_in_plain_words(
    tmp_path: Path, missing: int
) -> None:
    write_series(tmp_path / "scan", VALUES, 1)
    files = sorted((tmp_path / "scan").iterdir())
    content = files[missing].read_bytes()
    files[missing].unlink()
    with pytest.raises(ValueError, match="damaged: Non uniform sampling or missing slices"):
        read_image(tmp_path / "scan", "FIXED")
    for name in (files[missing].name, "again.dcm"):
        (tmp_path / "scan" / name).write_bytes(content)
    with pytest.raises(ValueError, match="damaged: Non uniform sampling or missing slices"):
        read_image(tmp_path / "scan", "FIXED")


def test_slices_of_a_tilted_gantry_are_refused_and_rounded_positions_are_not(
    tmp_path: Path,
) -> None:
    write_series(tmp_path / "rounded", VALUES, 1, aside=0.01)
    np.testing.assert_array_equal(read_image(tmp_path / "rounded", "FIXED"), VALUES)
    write_series(tmp_path / "tilted", VALUES, 1, aside=0.5)
    with pytest.raises(ValueError, match="its axes are sheared"):
        read_image(tmp_path / "tilted", "FIXED")


def test_each_slice_may_have_a_scale_of_its_own(tmp_path: Path) -> None:
    write_series(tmp_path / "scan", VALUES, 1)
    for file in sorted((tmp_path / "scan").iterdir())[1:]:
        content = file.read_bytes()
        assert content.count(SLOPE + b"1 ") == 1
        file.write_bytes(content.replace(SLOPE + b"1 ", SLOPE + b".3"))
    scales = np.array([1, 0.3, 0.3, 0.3])[:, None, None]
    found = read_image(tmp_path / "scan", "FIXED")
    np.testing.assert_allclose(found, scales * VALUES, rtol=1e-6)
    assert np.asarray(found).dtype == np.float64
