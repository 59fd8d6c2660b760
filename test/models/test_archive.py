from __future__ import annotations

from pathlib import Path

import pytest
import torch

from itk_nephi.models.archive import ARCHIVE_ERRORS, read_archive, write_archive

CPU = torch.device("cpu")


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    content = {"weights": torch.arange(5.0), "history": [{"done": 1}], "name": "a"}
    write_archive(content, tmp_path / "a")
    found = read_archive(tmp_path / "a", CPU)
    torch.testing.assert_close(found["weights"], content["weights"])
    assert found["history"] == content["history"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_archive({"weights": torch.arange(9.0)}, path)
    whole = path.read_bytes()
    for number in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[number] ^= 1 << number % 8
        for content in (bytes(flipped), whole[:number]):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"no archive of this package|damaged: its digest"):
                read_archive(path, CPU)


def test_no_code_is_run(tmp_path: Path) -> None:
    write_archive({"payload": Payload()}, tmp_path / "a")
    with pytest.raises(ARCHIVE_ERRORS):
        read_archive(tmp_path / "a", CPU)
