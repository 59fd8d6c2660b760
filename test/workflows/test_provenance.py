from __future__ import annotations

import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import itk
import pytest

from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.workflows.provenance import describe_inputs, find_versions, sha256


def test_a_checksum_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "a") == expected


@pytest.mark.parametrize(
    ("name", "voxels"),
    [("a.hdr", "a.img"), ("a.img", "a.hdr"), ("a.mhd", "a.raw"), ("a.nhdr", "a.raw")],
)
def test_a_checksum_is_that_of_all_files_of_an_image(
    tmp_path: Path, image: Any, name: str, voxels: str
) -> None:
    itk.imwrite(image, str(tmp_path / name))
    before = sha256(tmp_path / name)
    assert sha256(tmp_path / name) == before
    content = bytearray((tmp_path / voxels).read_bytes())
    content[-1] ^= 1
    (tmp_path / voxels).write_bytes(content)
    assert sha256(tmp_path / name) != before


def test_inputs_are_files_with_their_checksums_and_the_start(tmp_path: Path, image: Any) -> None:
    itk.imwrite(image, str(tmp_path / "a.nrrd"))
    sources = {"fixed": tmp_path / "a.nrrd"}
    pair = ImagePair(fixed=(image,), moving=(image,), sources=sources)
    expected = {
        "inputs": {"fixed": str(tmp_path / "a.nrrd")},
        "sha256": {"fixed": sha256(tmp_path / "a.nrrd")},
    }
    affine = itk.AffineTransform[itk.D, image.GetImageDimension()].New()
    for start, told in (("moments", "moments"), (None, "identity"), (affine, "AffineTransform")):
        found = describe_inputs(replace(pair, initial_transform=start))
        assert found == {**expected, "initial_transform": told}


def test_versions_are_those_that_are_installed() -> None:
    versions = find_versions()
    assert versions["python"] == platform.python_version()
    for name in ("itk-nephi", "itk", "torch", "numpy", "itk-elastix"):
        assert versions[name] == version(name)
    assert None not in versions.values()


@pytest.mark.parametrize("files", [(), ("METADATA",)])
def test_damaged_packages_of_the_environment_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...]
) -> None:
    expected = find_versions()
    (tmp_path / "broken-1.0.dist-info").mkdir()
    for name in files:
        (tmp_path / "broken-1.0.dist-info" / name).write_text("Summary: lost its name\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_versions() == expected
