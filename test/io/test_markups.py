from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from itk_nephi.io.markups import Markups


def content(space: str = "LPS", **changes: Any) -> dict[str, Any]:
    points = [
        {"id": "1", "label": "F-1", "position": [10.0, -150.0, 380.0]},
        {"id": "2", "position": [], "positionStatus": "undefined"},
        {"id": "3", "position": [1.0, 2.0, 3.0], "orientation": [1.0, 0.0]},
    ]
    markup = {"coordinateSystem": space, "controlPoints": points} | changes
    return {"@schema": "markups", "markups": [markup]}


@pytest.mark.parametrize(("space", "signs"), [("LPS", [1, 1, 1]), ("RAS", [-1, -1, 1])])
def test_positions_move_in_the_space_of_the_file_and_all_else_stays(
    tmp_path: Path, space: str, signs: list[int]
) -> None:
    (tmp_path / "a.mrk.json").write_text(json.dumps(content(space)))
    found = Markups.read(tmp_path / "a.mrk.json", "CSV")
    expected = np.array([[10, -150, 380], [1, 2, 3]]) * signs
    np.testing.assert_array_equal(found.points, expected)
    moved = found.points + np.array([1, 2, 3])
    found.write(tmp_path / "b.mrk.json", moved)
    wanted = content(space)
    for number, row in ((0, 0), (2, 1)):
        position = (moved[row] * signs).tolist()
        wanted["markups"][0]["controlPoints"][number]["position"] = position
    assert json.loads((tmp_path / "b.mrk.json").read_text()) == wanted


@pytest.mark.parametrize("kind", ["Fiducial", "Line", "Angle", "Curve", "ClosedCurve"])
def test_what_was_measured_at_the_former_positions_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    measured = content(type=kind, measurements=[{"name": "length", "value": 12.5}])
    (tmp_path / "a.mrk.json").write_text(json.dumps(measured))
    found = Markups.read(tmp_path / "a.mrk.json", "CSV")
    with caplog.at_level(logging.WARNING):
        found.write(tmp_path / "b.mrk.json", found.points)
    assert json.loads((tmp_path / "b.mrk.json").read_text()) == content(type=kind)
    assert caplog.messages == [f"{tmp_path / 'a.mrk.json'}: measurements are left out"]


def test_a_byte_order_mark_as_of_windows_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.mrk.json").write_text(json.dumps(content()), encoding="utf-8-sig")
    assert len(Markups.read(tmp_path / "a.mrk.json", "CSV").points) == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ("[" * 100_000, "recursion"),
        (content("scanner"), "its coordinate system is SCANNER, which is neither"),
        (content(coordinateUnits="um"), "its points are in um, not in mm"),
        (content(controlPoints=[{"position": [1, 2]}]), ""),
        (content(controlPoints=[{"position": [1, 2, float("inf")]}]), "three finite numbers"),
        (content(controlPoints=[{"position": [1, "2", 3]}]), "three finite numbers"),
        (content(controlPoints=[{"position": [1, True, 3]}]), "three finite numbers"),
        (content(controlPoints=[{"position": [1, 2, 10**400]}]), "three finite numbers"),
        (content(controlPoints=[]), "no points"),
        (content(type="ROI", center=[1, 2, 3]), "type ROI: convert it to a point list"),
        (content(type="Plane", normal=[0, 0, 1]), "type Plane: convert it to a point list"),
    ],
)
def test_what_is_no_such_file_is_named(tmp_path: Path, given: Any, words: str) -> None:
    text = given if isinstance(given, str) else json.dumps(given)
    (tmp_path / "a.mrk.json").write_text(text)
    with pytest.raises(ValueError, match=f"expected CSV to be markups of 3D Slicer, .*{words}"):
        Markups.read(tmp_path / "a.mrk.json", "CSV")
