"""A parsed mesh file: where its points are, so that all else can stay as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial.domain import Array

NORMALS = "vectors at points, such as normals,"


@dataclass(frozen=True, kw_only=True)
class MeshContent:
    """The points of a mesh file, and the file with others instead.

    Parameters
    ----------
    points : array, shape (N, 3)
        As they are stored.
    rebuild : callable
        From points, shape (N, 3), to the bytes of a file in which all else is the same.
    comments : str
        Where programs name the space of the points.
    space : str
        The space of the format itself, ``"RAS"`` or ``"LPS"``; empty where it has none.
    space_is_assumed : bool
        Whether the format could name a space, and the file does not.
    left_out : sequence of str
        What does not turn with the points, and is therefore not in the rebuilt file.
    kept : sequence of str
        What may not have turned with the points, and is in the rebuilt file all the same.
    """

    points: Array
    rebuild: Callable[[Array], bytes]
    comments: str = ""
    space: str = ""
    space_is_assumed: bool = False
    left_out: Sequence[str] = field(default=())
    kept: Sequence[str] = field(default=())


def text_numbers(content: bytes, start: int, count: int) -> tuple[Array, int]:
    """Read numbers of text from a byte on, and return them and where they end."""
    check_count(count, len(content) - start)
    words = list(islice(re.finditer(rb"\S+", content[start:]), count))
    if len(words) < count:
        raise ValueError(f"truncated: expected {count} numbers, got {len(words)}")
    values = np.array([float(word[0]) for word in words])
    return values, start + (words[-1].end() if words else 0)


def check_count(count: int, size: int) -> None:
    """Raise unless so many numbers can stand in so many bytes."""
    if not 0 <= count <= size:
        raise ValueError(f"damaged: its header names {count} numbers, in {size} bytes")


def check_indices(indices: npt.NDArray[np.int_], points: int) -> None:
    """Raise unless all indices are those of points."""
    if len(indices) and not (indices.min() >= 0 and indices.max() < points):
        raise ValueError(
            f"damaged: its cells name points {indices.min()} to {indices.max()}, of {points}"
        )


def row_text(points: Array, digits: int) -> list[str]:
    """Return points as text, a row each; 17 digits are all that a double has."""
    if digits == 17:
        return [" ".join(map(repr, point)) for point in points.tolist()]
    return [" ".join(f"{x:.{digits}g}" for x in point) for point in points.tolist()]


def points_from_words(rows: list[list[str]]) -> Array:
    """Return the points of lines of words, shape (N, 3), whose first three are numbers."""
    if any(len(row) < 3 for row in rows):
        raise ValueError("truncated or damaged: a point has fewer than three coordinates")
    return finite_points(
        np.array([[float(word) for word in row[:3]] for row in rows]).reshape(-1, 3)
    )


def finite_points(points: Array) -> Array:
    """Return points, if all of them are finite."""
    if not np.isfinite(points).all():
        count = np.count_nonzero(~np.isfinite(points).all(axis=1))
        raise ValueError(f"{count} of its points are not finite")
    return points
