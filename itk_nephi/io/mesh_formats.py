"""OBJ, OFF, STL, GIFTI and BYU files: points are replaced, all else stays as it is."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from itk_nephi.io.mesh_content import (
    NORMALS,
    MeshContent,
    check_count,
    check_indices,
    finite_points,
    points_from_words,
    row_text,
    text_numbers,
)
from itk_nephi.io.ply import read_ply
from itk_nephi.io.vtk_polydata import read_vtk
from itk_nephi.spatial.domain import Array

GIFTI_TYPES = {
    "NIFTI_TYPE_UINT8": "u1",
    "NIFTI_TYPE_INT32": "i4",
    "NIFTI_TYPE_FLOAT32": "f4",
    "NIFTI_TYPE_FLOAT64": "f8",
}


def read_obj(content: bytes) -> MeshContent:
    """Find the points of a Wavefront OBJ file: its lines ``v x y z``."""
    lines = content.decode("latin-1").split("\n")
    rows = [number for number, line in enumerate(lines) if re.match(r"\s*v\s", line)]
    points = points_from_words([lines[row].split()[1:] for row in rows])
    has_normals = any(re.match(r"\s*vn\s", line) for line in lines)
    corners = [
        int(corner.split("/")[0])
        for line in lines
        if re.match(r"\s*f\s", line)
        for corner in line.split("#")[0].split()[1:]
    ]
    indices = np.array([c - 1 if c > 0 else len(rows) + c for c in corners], int)
    check_indices(indices, len(rows))

    def rebuild(moved: Array) -> bytes:
        found = list(lines)
        for row, text in zip(rows, row_text(moved, 17), strict=True):
            rest = lines[row].split()[4:]
            found[row] = " ".join(["v", text, *rest])
        if has_normals:  # and the third of the numbers of corners, which name them
            found = [line for line in found if not re.match(r"\s*vn\s", line)]
            faces = re.compile(r"/[^/\s]*(?=\s|$)")
            found = [
                re.sub(r"/(?=\s|$)", "", re.sub(r"(/[^/\s]*)/[^/\s]*", r"\1", line))
                if re.match(r"\s*[fl]\s", line) and faces.search(line)
                else line
                for line in found
            ]
        return "\n".join(found).encode("latin-1")

    return MeshContent(
        points=points,
        rebuild=rebuild,
        comments="\n".join(line for line in lines if line.lstrip().startswith("#")),
        left_out=(NORMALS,) if has_normals else (),
    )


def read_off(content: bytes) -> MeshContent:
    """Find the points of an OFF file of text, which has a point or a face a line."""
    lines = content.decode("latin-1").split("\n")
    filled = [n for n, line in enumerate(lines) if line.split("#")[0].strip()]
    first = lines[filled[0]].split("#")[0].split() if filled else []
    if not first or not re.fullmatch(r"(ST)?C?N?4?n?OFF", first[0]):
        raise ValueError("no OFF file")
    if "BINARY" in first or "4" in first[0] or "n" in first[0] or "N" in first[0]:
        raise ValueError(f"expected OFF of text, without normals, got {' '.join(first)}")
    del filled[0]
    counts = first[1:]
    if not counts:
        counts = lines[filled.pop(0)].split("#")[0].split() if filled else []
    count, faces = (int(number) for number in counts[:2])
    for number in (count, faces):
        check_count(number, len(content))
    if len(filled) < count + faces:
        raise ValueError(f"truncated: expected {count + faces} lines, got {len(filled)}")
    rows = filled[:count]
    points = points_from_words([lines[row].split("#")[0].split() for row in rows])
    corners = []
    for row in filled[count : count + faces]:
        numbers = [int(float(word)) for word in lines[row].split("#")[0].split()]
        if len(numbers) < numbers[0] + 1:
            raise ValueError("truncated or damaged: a face has fewer corners than its header names")
        corners += numbers[1 : numbers[0] + 1]
    check_indices(np.array(corners, int), count)

    def rebuild(moved: Array) -> bytes:
        found = list(lines)
        for row, text in zip(rows, row_text(moved, 17), strict=True):
            found[row] = " ".join([text, *lines[row].split()[3:]])
        return "\n".join(found).encode("latin-1")

    comments = "\n".join(line.partition("#")[2] for line in lines)
    return MeshContent(points=points, rebuild=rebuild, comments=comments)


def read_byu(content: bytes) -> MeshContent:
    """Find the points of a BYU file of text."""
    counts, at = text_numbers(content, 0, 4)
    parts, count, _, corners = (int(number) for number in counts)
    for number in (parts, count, corners):
        check_count(number, len(content))
    _, begin = text_numbers(content, at, 2 * parts)
    points, end = text_numbers(content, begin, 3 * count)
    indices, _ = text_numbers(content, end, corners)
    check_indices(np.abs(indices).astype(int) - 1, count)
    points = finite_points(points.reshape(-1, 3))

    def rebuild(moved: Array) -> bytes:
        text = "\n".join(row_text(moved, 17))
        return content[:begin] + f"\n{text}".encode() + content[end:]

    return MeshContent(points=points, rebuild=rebuild)


def read_stl(content: bytes) -> MeshContent:
    """Find the points of an STL file; the normals of its facets are computed anew."""
    if re.match(rb"solid[^\n]*\n\s*(facet|endsolid)\b", content, re.IGNORECASE):
        return _read_stl_text(content)
    (count,) = struct.unpack_from("<I", content.ljust(84), 80)
    if len(content) < 84 or len(content) != 84 + 50 * count:
        raise ValueError(f"truncated or damaged: {count} facets in {len(content)} bytes")
    kind = np.dtype([("normal", "<f4", 3), ("points", "<f4", (3, 3)), ("attributes", "<u2")])
    facets = np.frombuffer(content, kind, count, 84)

    def rebuild(moved: Array) -> bytes:
        found = facets.copy()
        found["points"] = moved.reshape(-1, 3, 3)
        found["normal"] = _facet_normals(moved)
        return content[:84] + found.tobytes()

    points = finite_points(facets["points"].astype(float).reshape(-1, 3))
    return MeshContent(points=points, rebuild=rebuild, comments=content[:80].decode("latin-1"))


def _read_stl_text(content: bytes) -> MeshContent:
    text = content.decode("latin-1")
    if not re.search(r"(?i)endsolid[^\n]*\s*$", text):
        raise ValueError("truncated: it has no end")
    vertex, normal = r"(?i)(\bvertex\s+)([^\n]+)", r"(?i)(\bfacet\s+normal\s+)[^\n]+"
    points = points_from_words([found[2].split() for found in re.finditer(vertex, text)])
    if len(points) % 3 or len(points) != 3 * len(re.findall(normal, text)):
        raise ValueError("damaged: its facets have not three points each")

    def rebuild(moved: Array) -> bytes:
        vertices, normals = iter(row_text(moved, 9)), iter(row_text(_facet_normals(moved), 9))
        found = re.sub(vertex, lambda part: part[1] + next(vertices), text)
        found = re.sub(normal, lambda part: part[1] + next(normals), found)
        return found.encode("latin-1")

    return MeshContent(points=points, rebuild=rebuild, comments=text.partition("\n")[0])


def _facet_normals(points: Array) -> Array:
    one, two, three = np.moveaxis(points.reshape(-1, 3, 3), 1, 0)
    normals = np.cross(two - one, three - one)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(np.divide(normals, length, where=length > 0, out=np.zeros_like(normals)))


def read_gifti(content: bytes) -> MeshContent:
    """Find the points of a GIFTI file, in an array of the intent NIFTI_INTENT_POINTSET."""
    text = content.decode("utf-8")
    if "</GIFTI>" not in text:
        raise ValueError("no GIFTI file, or a truncated one")
    arrays = list(re.finditer(r"<DataArray\b(.*?)>(.*?)</DataArray>", text, re.S))
    chosen, left_out = None, []
    for array in arrays:
        values = _gifti_values(array[1], array[2])
        if "NIFTI_INTENT_POINTSET" in array[1]:
            chosen, points = array, values
        elif "NIFTI_INTENT_VECTOR" in array[1]:
            left_out.append(array)
    if sum("NIFTI_INTENT_POINTSET" in array[1] for array in arrays) > 1:
        raise ValueError("several arrays of points: save each as a file of its own")
    if chosen is None or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError("no points")
    for array in arrays:
        if "NIFTI_INTENT_TRIANGLE" in array[1]:
            check_indices(_gifti_values(array[1], array[2]).astype(int).ravel(), len(points))
    named = re.search(r"<DataSpace>\s*(?:<!\[CDATA\[)?\s*(\w+)", chosen[2])
    matrix = re.search(r"<MatrixData>(.*?)</MatrixData>", chosen[2], re.S)
    space = "LPS" if named is None else "RAS"  # empty as ITK writes it, else as all others do
    is_unknown = named is None or named[1] == "NIFTI_XFORM_UNKNOWN"
    if is_unknown and matrix is not None:
        numbers = np.array(matrix[1].split(), float)
        if numbers.shape != (16,) or not np.array_equal(numbers.reshape(4, 4), np.eye(4)):
            raise ValueError("its points are in a space of their own, which a matrix leads out of")

    def rebuild(moved: Array) -> bytes:
        pieces, at, count = [], 0, len(arrays)
        for array in arrays:
            pieces.append(text[at : array.start()])
            at = array.end()
            if array is chosen:
                pieces.append(_gifti_array(array[0], moved))
            elif array not in left_out:
                pieces.append(array[0])
        count -= len(left_out)
        whole = "".join([*pieces, text[at:]])
        return re.sub(
            r'NumberOfDataArrays="\d+"', f'NumberOfDataArrays="{count}"', whole, count=1
        ).encode()

    return MeshContent(
        points=finite_points(points),
        rebuild=rebuild,
        space=space,
        space_is_assumed=is_unknown,
        left_out=(NORMALS,) if left_out else (),
    )


def _gifti_attribute(attributes: str, name: str, default: str = "") -> str:
    found = re.search(rf'\b{name}="([^"]*)"', attributes)
    return default if found is None else found[1]


def _gifti_kind(attributes: str) -> np.dtype[np.generic]:
    sign = ">" if _gifti_attribute(attributes, "Endian") == "BigEndian" else "<"
    return np.dtype(sign + GIFTI_TYPES[_gifti_attribute(attributes, "DataType")])


def _gifti_values(attributes: str, inside: str) -> npt.NDArray[np.float64]:
    data = re.search(r"<Data>(.*?)</Data>", inside, re.S)
    if data is None:
        raise ValueError("truncated or damaged: an array without data")
    dimensions = int(_gifti_attribute(attributes, "Dimensionality", "1"))
    shape = [int(_gifti_attribute(attributes, f"Dim{n}", "0")) for n in range(dimensions)]
    encoding = _gifti_attribute(attributes, "Encoding")
    if encoding == "ASCII":
        values = np.array(data[1].split(), float)
    elif encoding in ("Base64Binary", "GZipBase64Binary"):
        packed = base64.b64decode("".join(data[1].split()), validate=True)
        if encoding.startswith("GZip"):
            packed = zlib.decompress(packed, 47)
        values = np.frombuffer(packed, _gifti_kind(attributes)).astype(float)
    else:
        raise ValueError(f"expected its data inside, got the encoding {encoding}")
    if values.size != np.prod(shape):
        raise ValueError(f"truncated: expected {np.prod(shape)} numbers, got {values.size}")
    columns = "Column" in _gifti_attribute(attributes, "ArrayIndexingOrder")
    return values.reshape(shape, order="F" if columns else "C")


def _gifti_array(array: str, points: Array) -> str:
    """Return an array with other points; whole numbers, which would be rounded, become float."""
    array = re.sub(
        r'(\bDataType=")NIFTI_TYPE_U?INT\d+"', r'\g<1>NIFTI_TYPE_FLOAT32"', array, count=1
    )
    attributes = array.partition(">")[0]
    columns = "Column" in _gifti_attribute(attributes, "ArrayIndexingOrder")
    ordered = points.ravel(order="F" if columns else "C")
    encoding = _gifti_attribute(attributes, "Encoding")
    if encoding == "ASCII":
        data = "\n".join(row_text(ordered.reshape(points.shape), 17))
    else:
        packed = ordered.astype(_gifti_kind(attributes)).tobytes()
        packed = zlib.compress(packed) if encoding.startswith("GZip") else packed
        data = base64.b64encode(packed).decode()
    return re.sub(r"(<Data>).*?(</Data>)", rf"\g<1>{data}\g<2>", array, flags=re.S)


READERS: dict[str, Callable[[bytes], MeshContent]] = {
    ".vtk": read_vtk,
    ".obj": read_obj,
    ".off": read_off,
    ".ply": read_ply,
    ".stl": read_stl,
    ".gii": read_gifti,
    ".byu": read_byu,
}
"""By suffix: the reader of a file."""
