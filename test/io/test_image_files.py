from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest

from itk_nephi.io import image_files
from itk_nephi.io.images import read_image, read_image_header

VALUES = np.arange(120, dtype=np.uint8).reshape(4, 5, 6)
META = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementType = MET_UCHAR\n"
NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 6 5 4\nencoding: raw\n"


def renamed(folder: Path, *names: str) -> None:
    """Write an image in two files, and rename both."""
    itk.imwrite(itk.image_from_array(VALUES), str(folder / names[0].lower()))
    for old, new in zip(sorted(folder.iterdir()), names, strict=True):
        old.rename(folder / new)


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("A.HDR", "A.IMG"), "A.HDR"),
        (("A.HDR", "A.IMG"), "A.IMG"),
        (("a.hdr", "a.IMG"), "a.hdr"),
        (("a.HDR", "a.img"), "a.img"),
        (("a.MHD", "a.raw"), "a.MHD"),
        (("a.NHDR", "a.raw"), "a.NHDR"),
    ],
)
def test_suffixes_of_both_files_may_be_in_upper_case(
    tmp_path: Path, names: tuple[str, str], given: str
) -> None:
    renamed(tmp_path, *names)
    np.testing.assert_array_equal(read_image(tmp_path / given, "FIXED"), VALUES)
    other = next(name for name in names if name != given)
    (tmp_path / other).unlink()
    with pytest.raises(ValueError, match=f"got {tmp_path / given}: ") as caught:
        read_image(tmp_path / given, "FIXED")
    assert str(caught.value).count("/tmp") == str(caught.value).count(str(tmp_path))


def test_voxels_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.raw").write_bytes(VALUES.tobytes())
    for name in ("a.mhd", "a.MHD"):
        (tmp_path / name).write_text(META + "ElementDataFile = sub/a.raw\n")
        np.testing.assert_array_equal(read_image(tmp_path / name, "FIXED"), VALUES)


def test_a_long_header_is_read_up_to_a_limit_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = "".join(f"Seq_Frame{n:04}_Transform = {'1 0 0 0 ' * 4}\n" for n in range(3000))
    segments = "".join(f"Segment{n}_Name:={'name' * 40}\n" for n in range(500))
    ends = {"a.mha": META + frames + "ElementDataFile = LOCAL\n", "a.nrrd": NRRD + segments + "\n"}
    for name, header in ends.items():
        assert len(header) > 2**16
        (tmp_path / name).write_bytes(header.encode() + VALUES.tobytes())
        np.testing.assert_array_equal(read_image(tmp_path / name, "FIXED"), VALUES)
    monkeypatch.setattr(image_files, "HEADER_BYTES", 2**16)
    for name in ends:
        with pytest.raises(ValueError, match=r"a header of at most 0\.0625 MiB, got a longer one"):
            read_image_header(tmp_path / name, "FIXED")


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
def test_voxels_may_be_the_last_bytes_of_their_file(tmp_path: Path, name: str) -> None:
    skipped = {
        "a.mhd": META + "HeaderSize = {}\nElementDataFile = a.raw\n",
        "a.nhdr": NRRD + "byte skip: {}\ndata file: a.raw\n\n",
    }[name]
    (tmp_path / "a.raw").write_bytes(b"some header" + VALUES.tobytes())
    for skip in (11, -1):
        (tmp_path / name).write_text(skipped.format(skip))
        np.testing.assert_array_equal(read_image(tmp_path / name, "FIXED"), VALUES)
    (tmp_path / name).write_text(skipped.format(-2))
    with pytest.raises(ValueError, match=f"got {tmp_path / name}: "):
        read_image(tmp_path / name, "FIXED")
    (tmp_path / name).write_text(skipped.format(-1))
    (tmp_path / "a.raw").write_bytes(VALUES.tobytes()[1:])
    with pytest.raises(ValueError, match=f"got {tmp_path / name}: "):
        read_image(tmp_path / name, "FIXED")


@pytest.mark.parametrize("names", [("a.hdr", "a.img"), ("a.mhd", "a.raw"), ("a.nhdr", "a.raw")])
def test_voxels_that_begin_as_gzip_does_are_none(tmp_path: Path, names: tuple[str, str]) -> None:
    renamed(tmp_path, *names)
    content = bytearray((tmp_path / names[1]).read_bytes())
    content[:3] = b"\x1f\x8b\x08"
    (tmp_path / names[1]).write_bytes(content)
    assert np.asarray(read_image(tmp_path / names[0], "FIXED")).ravel()[:3].tolist() == [31, 139, 8]
