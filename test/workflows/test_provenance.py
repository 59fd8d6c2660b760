from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from itk_nephi.workflows.provenance import find_versions, sha256


def test_a_checksum_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "a") == expected


def test_versions_are_those_that_are_installed() -> None:
    versions = find_versions()
    assert versions["python"] == platform.python_version()
    for name in ("itk-nephi", "itk", "torch", "numpy", "itk-elastix"):
        assert versions[name] == version(name)
    assert None not in versions.values()
