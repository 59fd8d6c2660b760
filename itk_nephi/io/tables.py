"""CSV files: their columns, rows and points."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from itk_nephi.io.errors import require_file
from itk_nephi.spatial.domain import Array


def read_csv(path: Path, argument: str) -> list[list[str]]:
    """Read the lines of a CSV file that are not empty, the header first, its names stripped.

    The separator is the comma, semicolon or tab that the header has most of.

    Raises
    ------
    ValueError
        If it is no such file; ``argument`` is what the message calls it.
    """
    require_file(path, argument)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            lines = [line for line in csv.reader(file, delimiter=separator) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"expected {argument} to be a CSV file, got {path}: {error}") from error
    if not lines:
        raise ValueError(f"expected {argument} to be a CSV file with a header, got {path}, empty")
    return [[name.strip() for name in lines[0]], *lines[1:]]


@dataclass(frozen=True)
class Table:
    """A CSV file: its columns' names and its rows, as text."""

    path: Path
    argument: str
    header: list[str]
    rows: list[list[str]]

    @classmethod
    def read(cls, path: Path, argument: str) -> Table:
        """Read a CSV file with a header.

        Raises
        ------
        ValueError
            If it is no such file; ``argument`` is what the message calls it.
        """
        header, *rows = read_csv(path, argument)
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise ValueError(
                    f"expected {len(header)} columns in every row of {argument}, "
                    f"got {len(row)} in row {number} of {path}"
                )
        return cls(path, argument, header, rows)

    def points(self, columns: list[str]) -> Array:
        """Return the numbers of some columns, shape (rows, columns).

        Raises
        ------
        ValueError
            If a column is missing, there is no row, or a value is not a finite number.
        """
        missing = [name for name in columns if name not in self.header]
        if missing or not self.rows:
            raise ValueError(
                f"expected {self.argument} to have rows with the columns {', '.join(columns)}, got "
                f"{self.path} with {len(self.rows)} rows and the columns {', '.join(self.header)}"
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
        return points

    def write(self, path: Path, columns: list[str], points: Array) -> None:
        """Write the table with new numbers in some columns."""
        indices = [self.header.index(name) for name in columns]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.header)
            for row, point in zip(self.rows, points.tolist(), strict=True):
                moved = list(row)
                for index, value in zip(indices, point, strict=True):
                    moved[index] = repr(value)
                writer.writerow(moved)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
