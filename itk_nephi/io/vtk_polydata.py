"""Legacy VTK files of meshes: points are replaced, all other sections stay as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from itk_nephi.io.mesh_content import (
    MeshContent,
    check_count,
    check_indices,
    row_text,
    text_numbers,
)
from itk_nephi.spatial.domain import Array

TYPES = {
    "unsigned_char": "u1",
    "char": "i1",
    "unsigned_short": ">u2",
    "short": ">i2",
    "unsigned_int": ">u4",
    "int": ">i4",
    "vtkidtype": ">i4",
    "unsigned_long": ">u8",
    "long": ">i8",
    "vtktypeint64": ">i8",
    "vtktypeuint64": ">u8",
    "float": ">f4",
    "double": ">f8",
}
"""Numbers of binary files, by what VTK calls them in lower case."""

CELLS = ("VERTICES", "LINES", "POLYGONS", "TRIANGLE_STRIPS")

TURNING = {"VECTORS": 3, "NORMALS": 3, "TENSORS": 9, "TENSORS6": 6}
"""How many numbers a point or a cell has of what turns with the mesh."""


def read_vtk(content: bytes) -> MeshContent:
    """Find the points of a legacy VTK file, and check all that comes with them."""
    reader = _Reader(content)
    while reader.section():
        pass
    if reader.points is None:
        raise ValueError("no points")
    return MeshContent(
        points=reader.points,
        rebuild=reader.rebuild,
        comments=content.split(b"\n", 2)[1].decode("latin-1"),
        left_out=tuple(dict.fromkeys(reader.left_out)),
        kept=tuple(reader.kept),
    )


@dataclass
class _Reader:
    """Reads a file section by section, and remembers what is to be replaced and cut."""

    content: bytes
    at: int = 0
    binary: bool = False
    points: Array | None = None
    cells: int = 0
    items: int = 0
    where: str = "points"
    left_out: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        head = self.content.split(b"\n", 3)
        if len(head) < 4 or not head[0].startswith(b"# vtk DataFile Version"):
            raise ValueError("no legacy VTK file")
        kind = head[2].strip().upper()
        if kind not in (b"ASCII", b"BINARY"):
            raise ValueError(f"expected ASCII or BINARY in its third line, got {head[2][:20]!r}")
        self.binary = kind == b"BINARY"
        self.at = sum(len(line) + 1 for line in head[:3])
        if self.words() != ["DATASET", "POLYDATA"]:
            raise ValueError("expected DATASET POLYDATA in its fourth line; save it as such")
        self._points = (0, "")
        self._end_of_points = 0
        # the sections of data: where they begin, and what of them is cut
        self._data: list[tuple[int, int, bool]] = []
        self._cuts: list[tuple[int, int]] = []

    def words(self) -> list[str]:
        """Return the words of the next line that has any."""
        while self.at < len(self.content):
            end = self.content.find(b"\n", self.at)
            end = len(self.content) if end < 0 else end
            line, self.at = self.content[self.at : end], end + 1
            if line.strip():
                if len(line) > 4096:
                    raise ValueError("damaged: a line of text is no section of VTK")
                return line.decode("latin-1").split()
        return []

    def numbers(self, kind: str, count: int) -> npt.NDArray[np.number]:
        """Read numbers of a type."""
        name = kind.lower()
        if name == "bit":
            name, count = ("unsigned_char", -(-count // 8)) if self.binary else ("int", count)
        if name not in TYPES:
            raise ValueError(f"expected numbers of a type of VTK, got {kind!r}")
        if not self.binary:
            values, self.at = text_numbers(self.content, self.at, count)
            return values
        dtype = np.dtype(TYPES[name])
        check_count(count * dtype.itemsize, len(self.content) - self.at)
        values = np.frombuffer(self.content, dtype, count, self.at)
        self.at += count * dtype.itemsize
        return values

    def section(self) -> bool:
        """Read the next section; return whether there was one."""
        start = self.at
        words = self.words()
        if not words:
            return False
        name, arguments = words[0].upper(), words[1:]
        try:
            self._section(name, arguments, start)
        except IndexError:
            raise ValueError(f"damaged: expected more after {name}") from None
        return True

    def _section(self, name: str, arguments: list[str], start: int) -> None:
        if name == "POINTS":
            count = int(arguments[0])
            self.points = self.numbers(arguments[1], 3 * count).astype(float).reshape(-1, 3)
            self._points = (start, arguments[1])
            self._end_of_points = self.at
        elif name in CELLS:
            self._read_cells(int(arguments[0]), int(arguments[1]))
        elif name in ("POINT_DATA", "CELL_DATA"):
            self.where = "points" if name == "POINT_DATA" else "cells"
            self.items = int(arguments[0])
            expected = self.cells if self.where == "cells" else len(self.known_points)
            if self.items != expected:
                raise ValueError(
                    f"damaged: data of {self.items} {self.where}, of which there are {expected}"
                )
            self._data.append((start, self.at, False))
        elif name in TURNING:
            self.numbers(arguments[1], TURNING[name] * self.items)
            self.left_out.append(f"vectors at {self.where}, such as normals,")
            self._cuts.append((start, self.at))
        else:
            self._read_values(name, arguments)
            if self._data:
                self._data[-1] = (*self._data[-1][:2], True)

    @property
    def known_points(self) -> Array:
        if self.points is None:
            raise ValueError("damaged: its points come after what refers to them")
        return self.points

    def _read_cells(self, count: int, size: int) -> None:
        begin = self.at
        following = self.words()
        if following[:1] == ["OFFSETS"]:  # VTK 5.1
            offsets = self.numbers(following[1], count).astype(int)
            indices = self.numbers(self.words()[1], size).astype(int)
            if count and (offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 0).any()):
                raise ValueError("damaged: the offsets of its cells do not fit")
            self.cells += max(count - 1, 0)
        else:
            self.at = begin
            numbers = self.numbers("int", size).astype(int)
            is_index, item = np.ones(size, bool), 0
            for _ in range(count):
                if item >= size or not 0 <= numbers[item] <= size - item - 1:
                    raise ValueError("damaged: the sizes of its cells do not fit")
                is_index[item] = False
                item += int(numbers[item]) + 1
            if item != size:
                raise ValueError("damaged: the sizes of its cells do not fit")
            indices = numbers[is_index]
            self.cells += count
        check_indices(indices, len(self.known_points))

    def _read_values(self, name: str, arguments: list[str]) -> None:
        if name == "SCALARS":
            components = int(arguments[2]) if len(arguments) > 2 else 1
            begin = self.at
            if self.words()[:1] != ["LOOKUP_TABLE"]:
                self.at = begin
            self.numbers(arguments[1], components * self.items)
        elif name == "COLOR_SCALARS":
            kind = "unsigned_char" if self.binary else "float"
            self.numbers(kind, int(arguments[1]) * self.items)
        elif name == "LOOKUP_TABLE":
            kind = "unsigned_char" if self.binary else "float"
            self.numbers(kind, 4 * int(arguments[1]))
        elif name == "TEXTURE_COORDINATES":
            self.numbers(arguments[2], int(arguments[1]) * self.items)
        elif name in ("GLOBAL_IDS", "PEDIGREE_IDS"):
            self.numbers(arguments[1], self.items)
        elif name == "FIELD":
            for _ in range(int(arguments[1])):
                array, width, tuples, kind = self.words()
                if array == "METADATA":
                    raise ValueError("damaged: a field has fewer arrays than its header names")
                self.numbers(kind, int(width) * int(tuples))
                if width == "3" and self._data:
                    self.kept.append(f"array {array} at {self.where}, whose vectors do not turn,")
                self._skip_metadata()
        elif name == "METADATA":
            self._skip_lines()
        else:
            raise ValueError(f"damaged, or with a section that is not known: {name[:40]!r}")

    def _skip_metadata(self) -> None:
        begin = self.at
        if self.words()[:1] == ["METADATA"]:
            self._skip_lines()
        else:
            self.at = begin

    def _skip_lines(self) -> None:
        """Skip lines up to an empty one."""
        end = re.compile(rb"\n[ \t\r]*\n").search(self.content, max(self.at - 1, 0))
        self.at = len(self.content) if end is None else end.end()

    def rebuild(self, points: Array) -> bytes:
        """Return the file with other points, and without what turns."""
        start, kind = self._points
        if kind.lower() not in ("float", "double"):  # whole numbers would be rounded
            kind = "double"
        if self.binary:
            replaced = points.astype(TYPES[kind.lower()]).tobytes()
        else:
            digits = 17 if kind.lower() == "double" else 9
            replaced = "\n".join(row_text(points, digits)).encode()
        line = f"POINTS {len(points)} {kind}\n".encode()
        empty = [(first, last) for first, last, filled in self._data if not filled]
        pieces, at = [self.content[:start], line, replaced], self._end_of_points
        for first, last in sorted(self._cuts + empty):
            pieces.append(self.content[at:first])
            at = last
        return b"".join([*pieces, self.content[at:]])
