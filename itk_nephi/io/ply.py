"""PLY files, of text and binary: points are replaced, all else stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from itk_nephi.io.mesh_content import (
    NORMALS,
    MeshContent,
    check_count,
    finite_points,
    points_from_words,
    row_text,
)
from itk_nephi.spatial.domain import Array

PLY_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}

CORNERS = ("vertex_indices", "vertex_index")
"""The properties that name vertices, by their numbers."""


def read_ply(content: bytes) -> MeshContent:
    """Find the points of a PLY file, of text or binary, whose first element is ``vertex``."""
    found = re.search(rb"\bend_header[^\n]*\n", content)
    if not content.startswith(b"ply") or found is None:
        raise ValueError("no PLY file")
    header = content[: found.end()].decode("latin-1").splitlines()
    (order,) = [line.split()[1] for line in header if line.startswith("format")][:1] or [""]
    starts = [n for n, line in enumerate(header) if line.startswith("element")]
    elements = [
        PlyElement(header[n].split()[1], header[n].split()[2], _ply_properties(header[n + 1 : end]))
        for n, end in zip(starts, [*starts[1:], len(header)], strict=True)
    ]
    vertex = elements[0] if elements else PlyElement("", "0", [])
    if vertex.name != "vertex" or any(entry[0] == "list" for entry in vertex.properties):
        raise ValueError("expected the element vertex first, without lists")
    names = [entry[1] for entry in vertex.properties]
    if not {"x", "y", "z"} <= set(names):
        raise ValueError("expected vertices with x, y and z")
    check_count(int(vertex.items), len(content))
    kinds = {kind for element in elements for entry in element.properties for kind in entry[:-1]}
    if unknown := kinds - PLY_TYPES.keys() - {"list"}:
        raise ValueError(f"expected known types, got {', '.join(sorted(unknown))}")
    kept = {
        name: _ply_point_type(kind) if name in ("x", "y", "z") else kind
        for kind, name in vertex.properties
        if name not in ("nx", "ny", "nz")
    }
    own = range(starts[0], [*starts[1:], len(header)][0])
    lines = [line if n not in own else _ply_property(line, kept) for n, line in enumerate(header)]
    head = "".join(f"{line}\n" for line in lines if line).encode("latin-1")
    body = content[found.end() :]
    if order == "ascii":
        points, rows = _ply_text(body, elements, kept)
    else:
        sign = {"binary_little_endian": "<", "binary_big_endian": ">"}[order]
        points, rows = _ply_binary(body, elements, kept, sign)
    return MeshContent(
        points=points,
        rebuild=lambda moved: head + rows(moved),
        comments="\n".join(line for line in header if line.startswith(("comment", "obj_info"))),
        left_out=(NORMALS,) if len(kept) < len(names) else (),
    )


def _ply_text(
    body: bytes, elements: list[PlyElement], kept: dict[str, str]
) -> tuple[Array, Callable[[Array], bytes]]:
    """Return the points of a body of text, and what writes it with others and what is kept."""
    names, count = [entry[1] for entry in elements[0].properties], int(elements[0].items)
    lines = [words for line in body.decode("latin-1").splitlines() if (words := line.split())]
    if len(lines) < sum(int(element.items) for element in elements):
        raise ValueError(f"truncated: got {len(lines)} lines")
    if any(len(line) < len(names) for line in lines[:count]):
        raise ValueError("truncated or damaged: a vertex lacks numbers")
    _check_ply_lines(lines[count:], elements[1:], count)
    columns = [names.index(name) for name in "xyz"]

    def rebuild(moved: Array) -> bytes:
        rows = []
        for line, text in zip(lines[:count], row_text(moved, 17), strict=True):
            values = dict(zip(names, line, strict=False))
            values |= dict(zip("xyz", text.split(), strict=True))
            rows.append(" ".join(values[name] for name in kept))
        rows += [" ".join(line) for line in lines[count:]]
        return "\n".join([*rows, ""]).encode("latin-1")

    return points_from_words(
        [[line[column] for column in columns] for line in lines[:count]]
    ), rebuild


def _ply_binary(
    body: bytes, elements: list[PlyElement], kept: dict[str, str], sign: str
) -> tuple[Array, Callable[[Array], bytes]]:
    """Return the points of a binary body, and what writes it with others and what is kept."""
    count = int(elements[0].items)
    kind = np.dtype([(name, sign + PLY_TYPES[form]) for form, name in elements[0].properties])
    check_count(count * kind.itemsize, len(body))
    vertices, rest = np.frombuffer(body, kind, count), body[count * kind.itemsize :]
    _check_ply_rest(rest, elements[1:], sign, count)

    def rebuild(moved: Array) -> bytes:
        made = np.empty(count, [(name, sign + PLY_TYPES[form]) for name, form in kept.items()])
        columns = dict(zip("xyz", moved.T, strict=True))
        for name in kept:
            made[name] = columns.get(name, vertices[name])
        return made.tobytes() + rest

    return finite_points(
        np.stack([vertices[name].astype(float) for name in "xyz"], axis=-1)
    ), rebuild


class PlyElement(NamedTuple):
    """An element of a PLY file; a property is its types, then its name."""

    name: str
    items: str
    properties: list[list[str]]


def _ply_point_type(kind: str) -> str:
    """Return the type of moved coordinates: double for whole numbers, which would be rounded."""
    return kind if PLY_TYPES[kind].startswith("f") else "double"


def _ply_property(line: str, kept: dict[str, str]) -> str:
    """Return a line of the vertices' header with the types to write; empty if it is left out."""
    if not line.startswith("property"):
        return line
    name = line.split()[-1]
    return f"property {kept[name]} {name}" if name in kept else ""


def _ply_properties(lines: list[str]) -> list[list[str]]:
    return [line.split()[1:] for line in lines if line.startswith("property")]


def _check_ply_lines(lines: list[list[str]], elements: list[PlyElement], points: int) -> None:
    """Check that each line after the vertices has all of its numbers, and corners are vertices."""
    rows = iter(lines)
    for element in elements:
        for _ in range(int(element.items)):
            words = next(rows)
            at = 0
            for entry in element.properties:
                length = 1
                if entry[0] == "list":
                    length, at = int(float(words[at])), at + 1
                    _check_corners(element, entry, np.array(words[at : at + length], float), points)
                at += length
                if length < 0 or at > len(words):
                    raise ValueError(f"truncated or damaged: a {element.name} lacks numbers")


def _equal_lists(rest: bytes, at: int, element: PlyElement, sign: str) -> Any:
    """Return the lists of an element that has nothing else, if all are as long as the first one."""
    (entry, *others), items = element.properties or [[]], int(element.items)
    if others or entry[:1] != ["list"] or not items:
        return None
    length, number = (np.dtype(sign + PLY_TYPES[name]) for name in entry[1:-1])
    if len(rest) < at + length.itemsize:
        return None
    many = int(np.frombuffer(rest, length, 1, at)[0])
    if not 0 < many <= len(rest):
        return None
    kind = np.dtype([("length", length), ("numbers", number, (many,))])
    if len(rest) - at < items * kind.itemsize:
        return None
    lists = np.frombuffer(rest, kind, items, at)
    return lists if (lists["length"] == many).all() else None


def _check_corners(element: PlyElement, entry: list[str], corners: Array, points: int) -> None:
    least = -1 if element.name == "tristrips" else 0  # where a strip ends
    if entry[-1] in CORNERS and not ((corners >= least) & (corners < points)).all():
        raise ValueError(f"damaged: a corner is none of its {points} points")


def _check_ply_rest(rest: bytes, elements: list[PlyElement], sign: str, points: int) -> None:
    """Check that what follows the vertices is all there, and corners are vertices."""
    at = 0
    for element in elements:
        check_count(int(element.items), len(rest))
        lists = _equal_lists(rest, at, element, sign)
        if lists is not None:
            _check_corners(element, element.properties[0], lists["numbers"], points)
            at += lists.nbytes
            continue
        for _ in range(int(element.items)):
            for entry in element.properties:
                kinds = [np.dtype(sign + PLY_TYPES[name]) for name in entry[:-1] if name != "list"]
                if at + kinds[0].itemsize > len(rest):
                    raise ValueError(f"truncated: got {len(rest)} bytes after the vertices")
                length = 0
                if entry[0] == "list":
                    many = int(np.frombuffer(rest, kinds[0], 1, at)[0])
                    length = many * kinds[1].itemsize
                    start = at + kinds[0].itemsize
                    if not 0 <= length <= len(rest) - start:
                        raise ValueError(f"truncated or damaged: a list of {many} numbers")
                    _check_corners(
                        element, entry, np.frombuffer(rest, kinds[1], many, start), points
                    )
                at += kinds[0].itemsize + length
    if at != len(rest.rstrip(b"\n")) and at != len(rest):
        raise ValueError(f"truncated or damaged: {len(rest)} bytes after the vertices, not {at}")
