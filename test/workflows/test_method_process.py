from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import pytest

from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.workflows.comparison import run_method
from itk_nephi.workflows.method_process import elastix_error

flat = pytest.mark.parametrize("dimension", [2], ids=["2D"])


@flat
@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("kill -KILL $$", "its process was killed, perhaps for lack of memory"),
        ("kill -SEGV $$", "its process crashed: Segmentation fault"),
        ("exit 3", "its process ended with status 3"),
    ],
)
def test_a_process_that_ends_early_is_a_row(
    pair: ImagePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, words: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{ending}\n")
    program.chmod(0o755)
    stale = tmp_path / "out" / "fixed_to_moving.h5"
    stale.parent.mkdir()
    stale.write_text("of an earlier run")
    monkeypatch.setattr(sys, "executable", str(program))
    row, evaluation = run_method("nephi", pair, tmp_path / "out")
    assert evaluation is None
    assert row["error"].startswith(words)
    assert "log.txt" in row["error"]
    assert row["process_seconds"] > 0
    assert not stale.exists()


@flat
@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"sources": {}}, "fixed, fixed_mask, moving, moving_mask"),
        ({"initial_transform": itk.AffineTransform[itk.D, 2].New()}, "initial_transform"),
    ],
)
def test_a_process_of_its_own_reads_the_files_of_a_pair(
    pair: ImagePair, tmp_path: Path, change: dict[str, Any], missing: str
) -> None:
    words = f"expected pair to be read from files, .* got none of {missing}"
    with pytest.raises(ValueError, match=words):
        run_method("nephi", replace(pair, **change), tmp_path)


def test_an_error_of_elastix_is_told_in_its_own_words() -> None:
    log = (
        "Stopping condition: Error in metric.\nDescription: ITK ERROR: AdvancedMetric(0x5f08): "
        "Too many samples map outside moving image buffer: 0 / 149\n\nError occurred\n"
    )
    expected = "elastix: Too many samples map outside moving image buffer: 0 / 149"
    assert elastix_error(log) == expected
    assert elastix_error("nothing") == "elastix failed without a description"
