"""Points of 3D Slicer: markups in JSON, which keep all but positions and what was measured."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from itk_nephi.io.errors import require_file
from itk_nephi.io.tables import SPACES
from itk_nephi.spatial.domain import Array

logger = logging.getLogger(__name__)

TYPES = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve")
"""The markups that are their points alone; others, such as ROI, have a center and axes, too."""


@dataclass(frozen=True)
class Markups:
    """A file of markups, as JSON holds it.

    Parameters
    ----------
    path : Path
        The file.
    content : dict
        All of it.
    points : array, shape (N, 3)
        The positions of all control points that have one, mm, as in ITK (LPS).
    """

    path: Path
    content: dict[str, Any]
    points: Array

    @classmethod
    def read(cls, path: Path, argument: str) -> Markups:
        """Read a file.

        Raises
        ------
        ValueError
            If it is none, a markup is more than its points, or these are not finite or in mm, or in
            a space that is not known.
        """
        require_file(path, argument)
        expectation = f"expected {argument} to be markups of 3D Slicer, got {path}"
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            points = [
                _numbers(point["position"]) * _signs(markup)
                for markup in content["markups"]
                for point in _placed(markup)
            ]
            if not points:
                raise ValueError("no points")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{expectation}: {error}") from error
        return cls(path, content, np.stack(points))

    def write(self, path: Path, points: Array) -> None:
        """Write the file with other positions; what was measured at the former ones is left out."""
        content = json.loads(json.dumps(self.content))
        rows = iter(points)
        for markup in content["markups"]:
            if markup.pop("measurements", None):
                logger.warning("%s: measurements are left out", self.path)
            for point in _placed(markup):
                point["position"] = (next(rows) * _signs(markup)).tolist()
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _placed(markup: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the control points of a markup that have a position."""
    if (kind := markup.get("type", TYPES[0])) not in TYPES:
        raise ValueError(f"it has a markup of the type {kind}: convert it to a point list first")
    return [point for point in markup["controlPoints"] if point.get("position")]


def _numbers(position: Any) -> Array:
    is_sound = isinstance(position, list) and len(position) == 3
    if not is_sound or not all(type(n) in (int, float) and abs(n) < 1e300 for n in position):
        raise ValueError("a position is not three finite numbers")
    return np.array(position, float)


def _signs(markup: dict[str, Any]) -> Array:
    units = markup.get("coordinateUnits", "mm")
    if (units[0] if isinstance(units, list) else units) != "mm":
        raise ValueError(f"its points are in {units}, not in mm")
    space = str(markup.get("coordinateSystem", "none")).upper()
    if space not in SPACES:
        raise ValueError(f"its coordinate system is {space}, which is neither LPS nor RAS")
    return np.array(SPACES[space])
