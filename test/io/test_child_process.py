from __future__ import annotations

import ctypes
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from itk_nephi.io import child_process
from itk_nephi.io.child_process import read_apart


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"12")
    return tmp_path / "file"


def test_the_result_and_what_was_printed_come_back(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def read(path: Path) -> Any:
        os.write(2, b"a complaint\n\nand another\n")
        return np.full((300, 400), int(path.read_text()), np.int16)

    found, printed = read_apart(read, path)
    np.testing.assert_array_equal(found, np.full((300, 400), 12))
    assert found.dtype == np.int16
    assert printed == ["a complaint", "and another"]
    assert capfd.readouterr() == ("", "")


def raised(_: Path) -> None:
    raise RuntimeError("file.cxx:12:\nITK ERROR: Reader(0x1f): it is no image")


def crashed(_: Path) -> None:
    ctypes.string_at(0)


def ended(_: Path) -> None:
    os._exit(3)


def spins(_: Path) -> None:
    while True:
        pass


def waits(_: Path) -> None:
    time.sleep(60)


def is_killed(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def allocates(_: Path) -> None:
    np.empty(2**40, np.uint8)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (raised, "^it is no image$"),
        (crashed, r"ends in a crash of the library \(SIGSEGV\)"),
        (ended, "ended without a result"),
        (spins, "reading it takes more than 1 s, which its size does not justify"),
        (waits, "reading it takes more than 1 s, which its size does not justify"),
        (is_killed, "ended from outside, perhaps for lack of memory"),
        (allocates, "reading it takes more than 1024 MiB of memory, which its size does not"),
    ],
)
def test_whatever_becomes_of_the_child_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch, read: Any, words: str
) -> None:
    monkeypatch.setattr(child_process, "SECONDS", 1)
    monkeypatch.setattr(child_process, "PATIENCE", 1 if read is waits else 60)
    with pytest.raises(ValueError, match=words):
        read_apart(read, path)


def test_a_folder_is_as_large_as_its_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(2**20))
    found, _ = read_apart(lambda _: np.empty(2**30 + 2**29, np.uint8).nbytes, tmp_path)
    assert found == 2**30 + 2**29


def test_threads_read_at_once_and_leave_the_standard_streams(path: Path) -> None:
    before = [Path(f"/proc/self/fd/{number}").readlink() for number in (1, 2)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: read_apart(Path.read_text, path)[0], range(60)))
    assert found == ["12"] * 60
    assert [Path(f"/proc/self/fd/{number}").readlink() for number in (1, 2)] == before
