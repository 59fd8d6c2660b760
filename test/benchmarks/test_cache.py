"""Trials are made once for the same inputs and code, and again after a failure."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import cache
from benchmarks.cache import describe_input, make_once
from itk_nephi import FieldSettings, RegistrationSettings

CALLS: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def calls() -> list[dict[str, Any]]:
    CALLS.clear()
    return CALLS


def trial(folder: Path, **arguments: Any) -> dict[str, Any]:
    CALLS.append(arguments)
    assert list(folder.iterdir()) == []
    (folder / "log.txt").touch()
    return {"seconds": (1.5, 2.5)}


def failing(folder: Path, **arguments: Any) -> dict[str, Any]:
    trial(folder, **arguments)
    if len(CALLS) == 1:
        raise RuntimeError("no memory")
    return {"seconds": 2.5}


def test_a_trial_is_made_once_and_looks_the_same_when_read(tmp_path: Path) -> None:
    found = [make_once(tmp_path, "one, seed 0", trial, steps=3) for _ in range(3)]
    assert found == [{"seconds": [1.5, 2.5]}] * 3
    assert len(CALLS) == 1
    (path,) = tmp_path.glob("one-seed-0-*/figures.json")
    assert json.loads(path.read_text()) == found[0]


def test_a_failure_is_told_and_not_kept(tmp_path: Path) -> None:
    assert make_once(tmp_path, "one", failing) == {"error": "no memory"}
    assert not list(tmp_path.rglob("figures.json"))
    assert [make_once(tmp_path, "one", failing) for _ in range(2)] == [{"seconds": 2.5}] * 2
    assert len(CALLS) == 2


def test_other_inputs_are_another_trial(tmp_path: Path) -> None:
    settings = RegistrationSettings()
    image = tmp_path / "image.mha"
    image.write_text("one")
    inputs: list[dict[str, Any]] = [
        {"settings": settings},
        {"settings": replace(settings, steps=3)},
        {"settings": replace(settings, field=FieldSettings(width=8))},
        {"image": image},
        {"images": {"fixed": image}},
    ]
    for _ in range(2):
        for arguments in inputs:
            make_once(tmp_path / "out", "one", trial, **arguments)
    assert inputs == CALLS
    image.write_text("other")
    make_once(tmp_path / "out", "one", trial, image=image)
    assert len(CALLS) == len(inputs) + 1


def test_other_code_is_another_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("a", "b", "a"):
        monkeypatch.setattr(cache, "code_version", lambda version=version: version)
        make_once(tmp_path, "one", trial)
    assert len(CALLS) == 2


def test_files_count_by_content_not_by_name(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image").write_text("same")
    one, other = (tmp_path / name for name in ("first", "second"))
    assert describe_input(one) == describe_input(other)
    assert describe_input(one / "image") == describe_input(other / "image")
    (other / "image").write_text("changed")
    assert describe_input(one) != describe_input(other)


def test_an_input_that_json_cannot_hold_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        make_once(tmp_path, "one", trial, values=np.zeros(3))
