from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.errors import plain_errors, plain_words, require_file, spelling_hint
from itk_nephi.io.images import read_image


def test_words_of_itk_lose_where_in_its_source_and_memory_they_come_from() -> None:
    said = (
        "/work/ITK/itkMetaImageIO.cxx:490:\nITK ERROR: MetaImageIO(0x562939cd3fb0): "
        "File cannot be read: a.mha."
    )
    assert plain_words(RuntimeError(said)) == "File cannot be read: a.mha"
    said = "WARNING: In /work/ITK/a.hxx, line 478\nImageSeriesReader (0x55b2e976c240): A gap"
    assert plain_words(RuntimeError(said)) == "A gap"


def test_words_of_itk_itself_become_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    with pytest.raises(RuntimeError) as caught:
        itk.imwrite(itk.image_from_array(np.zeros((3, 4), np.uint8)), str(path))
    assert str(caught.value).count("\n") > 3  # all writers that were tried
    assert plain_words(caught.value) == f"Could not create IO object for writing file {path}"


@pytest.mark.parametrize("act", [itk.imread, itk.transformread, str.encode])
def test_a_name_that_is_not_utf8_is_named_as_that(act: Callable[[str], Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        act("m\udcfcller/a.mha")
    assert plain_words(caught.value).endswith("is not UTF-8, as ITK needs it: rename it")


def test_an_error_without_words_is_named() -> None:
    assert plain_words(MemoryError()) == "MemoryError"


def test_errors_of_the_system_are_without_their_number(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "none" / "a.txt").write_text("")
    path = tmp_path / "none" / "a.txt"
    assert plain_words(caught.value) == f"No such file or directory: {path}"


def test_a_hint_is_what_the_name_is_a_part_of_else_what_it_is_spelled_like() -> None:
    known = ["fixed_mask", "moving_mask", "name"]
    assert spelling_hint("mask", known) == "is it fixed_mask or moving_mask?"
    assert spelling_hint("nmae", known) == "is it name?"
    assert spelling_hint("x", known) == "known are fixed_mask, moving_mask, name"


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_file(tmp_path / "file", "TABLE")
    os.mkfifo(tmp_path / "pipe")
    for path, found in (
        (tmp_path, "a folder"),
        (tmp_path / "none", "which does not exist"),
        (tmp_path / "pipe", "a pipe or a device"),
    ):
        with pytest.raises(ValueError, match=f"expected TABLE to be a file, got {path}, {found}"):
            require_file(path, "TABLE")


@pytest.mark.parametrize("error", [RuntimeError, ValueError, TypeError, KeyError, OSError])
def test_what_is_thrown_becomes_one_value_error(error: type[Exception]) -> None:
    with (
        pytest.raises(ValueError, match=r"^expected tea: '?hot'?$") as caught,
        plain_errors("expected tea"),
    ):
        raise error("hot")
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize("error", [AssertionError, KeyboardInterrupt])
def test_defects_and_interruptions_pass(error: type[BaseException]) -> None:
    with pytest.raises(error), plain_errors("expected tea"):
        raise error


def test_threads_read_at_once_and_stderr_stays_what_it_was(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "a.nrrd"))
    before = os.fstat(2)
    with ThreadPoolExecutor(6) as pool:
        images = list(pool.map(lambda _: read_image(tmp_path / "a.nrrd", "FIXED"), range(120)))
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
    for image in images:
        np.testing.assert_array_equal(image, values)


def test_files_are_read_where_stderr_is_closed(tmp_path: Path) -> None:
    values = np.arange(30, dtype=np.uint8).reshape(5, 6)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "a.nrrd"))
    code = """
import sys
from pathlib import Path
from typing import Any
import numpy as np
from itk_nephi.io import read_image
assert sys.stderr is None
print(np.asarray(read_image(Path(sys.argv[1]), "FIXED")).sum())
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.nrrd")]
    result = subprocess.run(
        ["bash", "-c", 'exec "$@" 2>&-', "bash", *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert int(result.stdout) == values.sum()
