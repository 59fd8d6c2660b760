"""CSV files: their columns, rows and points; and 3D Slicer's, with comments."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from itk_nephi.io.errors import require_file
from itk_nephi.spatial.domain import Array

SPACES = {
    "LPS": (1.0, 1.0, 1.0),
    "RAS": (-1.0, -1.0, 1.0),
    "0": (-1.0, -1.0, 1.0),
    "1": (1.0, 1.0, 1.0),
}
"""What turns points of a space, by its name or 3D Slicer's number, into those of ITK (LPS)."""


def read_csv(path: Path, argument: str) -> list[list[str]]:
    """Read the lines of a CSV file that are not empty, the header first, its names stripped.

    Lines of comments, from #, are left out; one that names columns is the header.

    The separator is the comma, semicolon or tab that the header has most of.

    Raises
    ------
    ValueError
        If it is no such file; ``argument`` is what the message calls it.
    """
    _, header, rows, _ = _read(path, argument, has_comments=True)
    return [header, *rows]


class Form(NamedTuple):
    """How a CSV file is written."""

    separator: str
    newline: str
    encoding: str


def _read(
    path: Path, argument: str, *, has_comments: bool = False
) -> tuple[list[str], list[str], list[list[str]], Form]:
    """Return the comments, the header and the rows of a CSV file, and its form.

    Lines from # below the header are rows, unless there are comments, too.
    """
    require_file(path, argument)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        every = text.splitlines(keepends=True)
        above = list(takewhile(lambda line: line.startswith("#") or not line.strip(), every))
        comments = [line.rstrip("\r\n") for line in above if line.strip()]
        below = every[len(above) :]
        body = [line for line in below if not (has_comments and line.startswith("#"))]
        names = [found[1] for line in comments if (found := _COLUMNS.match(line))]
        body = [*names[:1], *body]
        separator = max(",;\t", key=body[0].count) if body else ","
        ended = "".join(line if line.endswith("\n") else f"{line}\n" for line in body)
        reader = csv.reader(io.StringIO(ended, newline=""), delimiter=separator, strict=True)
        lines = [line for line in reader if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"expected {argument} to be a CSV file, got {path}: {error}") from error
    if not lines:
        raise ValueError(f"expected {argument} to be a CSV file with a header, got {path}, empty")
    form = Form(
        separator,
        "\r\n" if every[0].endswith("\r\n") else "\n",
        "utf-8-sig" if content.startswith(codecs.BOM_UTF8) else "utf-8",
    )
    return comments, [name.strip() for name in lines[0]], lines[1:], form


_COLUMNS = re.compile(r"#\s*columns\s*=\s*(.*)")

_SPACE = re.compile(r"#\s*(?:CoordinateSystem|SPACE)\s*[=:]\s*(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """A CSV file: its columns' names and its rows, as text.

    Points are those of ITK (LPS), whatever space a comment names.
    """

    path: Path
    argument: str
    header: list[str]
    rows: list[list[str]]
    form: Form
    comments: tuple[str, ...] = ()
    signs: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def read(cls, path: Path, argument: str) -> Table:
        """Read a CSV file with a header.

        Raises
        ------
        ValueError
            If it is no such file, or in a space that is not known; ``argument`` is what the
            message calls it.
        """
        comments, header, rows, form = _read(path, argument)
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise ValueError(
                    f"expected {len(header)} columns in every row of {argument}, "
                    f"got {len(row)} in row {number} of {path}"
                )
        named = [found[1].upper() for line in comments if (found := _SPACE.match(line))]
        default = "RAS" if path.suffix.lower() == ".fcsv" else "LPS"
        space = (named or [default])[0]
        if space not in SPACES:
            raise ValueError(
                f"expected {argument} in LPS or RAS, got {path} in the coordinate system {space}"
            )
        return cls(path, argument, header, rows, form, tuple(comments), SPACES[space])

    def points(self, columns: list[str]) -> Array:
        """Return the numbers of some columns, shape (rows, columns); x and y come in LPS.

        Raises
        ------
        ValueError
            If a column is missing or there twice, there is no row, a value is not a finite number,
            or points have a z beside an x and a y.
        """
        counts = Counter(self.header)
        missing = [name for name in columns if not counts[name]]
        if missing or not self.rows:
            raise ValueError(
                f"expected {self.argument} to have rows with the columns {', '.join(columns)}, got "
                f"{self.path} with {len(self.rows)} rows and the columns {', '.join(self.header)}"
            )
        twice = [name for name in columns if counts[name] > 1]
        if twice:
            raise ValueError(
                f"expected each column of {self.argument} once, got {twice[0]!r} "
                f"{counts[twice[0]]} times in {self.path}"
            )
        third = {f"{name[:-1]}z" for name in columns if name.endswith("y")} - set(columns)
        if further := sorted(third & set(self.header)):
            raise ValueError(
                f"expected {self.argument} in 2 dimensions, got {self.path} with a column "
                f"{further[0]}"
            )
        indices = [self.header.index(name) for name in columns]
        points = np.array([[_number(row[index]) for index in indices] for row in self.rows])
        if not np.isfinite(points).all():
            row, column = (int(n) for n in np.argwhere(~np.isfinite(points))[0])
            raise ValueError(
                f"expected finite numbers in {self.argument}, got "
                f"{self.rows[row][indices[column]]!r} in row {row + 1}, column {columns[column]} "
                f"of {self.path}"
            )
        return np.asarray(points * self._signs(columns))

    def write(self, path: Path, columns: list[str], points: Array) -> None:
        """Write the table with new numbers in some columns, in the form that it was read in."""
        indices = [self.header.index(name) for name in columns]
        separator, newline, encoding = self.form
        with path.open("w", newline="", encoding=encoding) as file:
            file.writelines(f"{line}{newline}" for line in self.comments)
            writer = csv.writer(file, delimiter=separator, lineterminator=newline)
            if not any(map(_COLUMNS.match, self.comments)):
                writer.writerow(self.header)
            for row, point in zip(self.rows, (points * self._signs(columns)).tolist(), strict=True):
                moved = list(row)
                for index, value in zip(indices, point, strict=True):
                    moved[index] = repr(value)
                writer.writerow(moved)

    def _signs(self, columns: list[str]) -> Array:
        """Return what turns columns into those of ITK: x is the last letter of fixed_x, too."""
        axes = {name: "xyz".find(name[-1:]) for name in columns}
        return np.array([self.signs[axes[name]] if axes[name] >= 0 else 1.0 for name in columns])


def _number(text: str) -> float:
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan
