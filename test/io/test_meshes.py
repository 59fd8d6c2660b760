from __future__ import annotations

import base64
import logging
import re
import struct
import zlib
from pathlib import Path

import itk
import numpy as np
import pytest
from support.meshes import (
    CONTENTS,
    NORMALS,
    OBJ,
    OFF,
    PLY,
    POINTS,
    VTK,
    binary_ply,
    binary_stl,
    gifti,
    rewritten,
    scaled,
)

from itk_nephi.io.meshes import move_mesh, read_mesh, write_mesh


@pytest.fixture(params=[*CONTENTS, "a.gii"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name = request.param
    content = gifti(tmp_path) if name == "a.gii" else CONTENTS[name]
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def test_points_move_in_every_format(path: Path) -> None:
    before, after = rewritten(path, scaled())
    assert {tuple(point) for point in before.points.tolist()} <= {tuple(p) for p in POINTS.tolist()}
    np.testing.assert_array_equal(after.points, before.points * [2, 3, -1])


def test_all_else_stays_as_it_was(path: Path) -> None:
    _, first = rewritten(path, itk.IdentityTransform[itk.D, 3].New())
    again = path.with_name(f"again-{path.name}")
    write_mesh(first, again)
    assert again.read_bytes() == path.with_name(f"moved-{path.name}").read_bytes()
    if path.name == "binary.vtk":
        assert again.read_bytes() == path.read_bytes()


def test_a_cut_file_is_refused(path: Path) -> None:
    content = path.read_bytes()
    # text is only known to be cut where it is counted
    ends = {"a.obj": (), "a.off": (2, 3), "text.ply": (2, 3), "text.vtk": (2, 3)}
    for part in ends.get(path.name, (2, 3, len(content) / 5)):
        kept = int(len(content) * (1 - 1 / part)) if part > 3 else len(content) // part
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=f"expected MESH to be a mesh .*, got {path}: "):
            read_mesh(path, "MESH")


@pytest.mark.parametrize("space", ["LPS", "RAS"])
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("text.vtk", b"tetrahedron", b"3D Slicer output. SPACE=%s"),
        ("binary.vtk", b"tetrahedron", b"3D Slicer output. SPACE=%s"),
        ("a.obj", b"# by hand", b"# 3D Slicer output. SPACE=%s"),
        ("a.off", b"# by hand", b"# SPACE=%s"),
        ("text.ply", b"comment by hand", b"comment SPACE=%s"),
        ("little.ply", b"comment by hand", b"comment SPACE=%s"),
        ("binary.stl", b"made by hand", b"SPACE=%s   "),
        ("text.stl", b"solid x", b"solid x SPACE=%s"),
    ],
)
def test_a_named_space_is_honored_and_kept(
    tmp_path: Path, name: str, old: bytes, new: bytes, space: str
) -> None:
    named = new % space.encode()
    content = CONTENTS[name].replace(old, named, 1)
    if name == "binary.stl":
        content = named.ljust(80) + CONTENTS[name][80:]
    (tmp_path / name).write_bytes(content)
    shift = itk.TranslationTransform[itk.D, 3].New()
    shift.SetOffset([10.0, 20.0, 30.0])
    before, after = rewritten(tmp_path / name, shift)
    signs = [1, 1, 1] if space == "LPS" else [-1, -1, 1]
    expected = {tuple(point) for point in (POINTS * signs).tolist()}
    assert {tuple(point) for point in before.points.tolist()} <= expected
    np.testing.assert_array_equal(after.points, before.points + np.array([10, 20, 30]))
    assert named.strip() in (tmp_path / f"moved-{name}").read_bytes()
    (tmp_path / name).write_bytes(content.replace(space.encode(), b"XYZ"))
    with pytest.raises(ValueError, match="its space is XYZ, which is none of LPS, RAS"):
        read_mesh(tmp_path / name, "MESH")


@pytest.mark.parametrize(
    ("named", "space"),
    [
        (b"<DataSpace><![CDATA[NIFTI_XFORM_SCANNER_ANAT]]></DataSpace>", ""),
        (b"<DataSpace><![CDATA[NIFTI_XFORM_UNKNOWN]]></DataSpace>", "RAS"),
        (b"<DataSpace><![CDATA[]]></DataSpace>", "LPS"),
        (b"", "LPS"),
    ],
)
def test_the_space_of_gifti_is_that_of_nifti_but_where_itk_leaves_it_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, named: bytes, space: str
) -> None:
    path, empty = tmp_path / "a.gii", b"<DataSpace><![CDATA[]]></DataSpace>"
    content = gifti(tmp_path)
    assert empty in content
    path.write_bytes(content.replace(empty, named))
    with caplog.at_level(logging.WARNING):
        found = read_mesh(path, "MESH")
    np.testing.assert_array_equal(
        found.points, POINTS * ([1] * 3 if space == "LPS" else [-1, -1, 1])
    )
    words = f"{path}: its points, whose space it does not name, are taken as {space}"
    assert caplog.messages == [words] * bool(space)


def whole_gifti(encoding: str, order: str) -> bytes:
    values = POINTS.astype("<i4").ravel(order="F" if order == "ColumnMajorOrder" else "C")
    data = {
        "ASCII": " ".join(map(str, values.tolist())).encode(),
        "Base64Binary": base64.b64encode(values.tobytes()),
        "GZipBase64Binary": base64.b64encode(zlib.compress(values.tobytes())),
    }[encoding]
    head = (
        '<GIFTI NumberOfDataArrays="1"><DataArray Intent="NIFTI_INTENT_POINTSET" '
        f'DataType="NIFTI_TYPE_INT32" ArrayIndexingOrder="{order}" Dimensionality="2" Dim0="4" '
        f'Dim1="3" Encoding="{encoding}" Endian="LittleEndian">'
    )
    return head.encode() + b"<Data>" + data + b"</Data></DataArray></GIFTI>"


def whole_ply(order: str) -> bytes:
    content = PLY.encode() if order == "ascii" else binary_ply(order)
    head, body = content.split(b"end_header\n")
    for axis, kind in ((b"x", b"short"), (b"y", b"uchar"), (b"z", b"int")):
        head = head.replace(b"property float %s\n" % axis, b"property %s %s\n" % (kind, axis))
    if order != "ascii":
        sign = {"little": "<", "big": ">"}[order]
        rows = [
            struct.pack(f"{sign}hBifB", *point, 1.0, 7 + n)
            for n, point in enumerate(POINTS.astype(int).tolist())
        ]
        body = b"".join(rows) + struct.pack(f"{sign}B3i", 3, 0, 1, 2)
    return head + b"end_header\n" + body


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"{order}.ply", whole_ply(order)) for order in ("ascii", "little", "big")),
        *(
            (f"{encoding}{order}.gii", whole_gifti(encoding, order))
            for encoding in ("ASCII", "Base64Binary", "GZipBase64Binary")
            for order in ("RowMajorOrder", "ColumnMajorOrder")
        ),
    ],
)
def test_points_of_whole_numbers_are_not_rounded(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    shift = itk.TranslationTransform[itk.D, 3].New()
    shift.SetOffset([0.5, -20.25, 3e5])
    before, after = rewritten(tmp_path / name, shift)
    np.testing.assert_array_equal(np.abs(before.points), POINTS)
    np.testing.assert_array_equal(after.points, before.points + np.array([0.5, -20.25, 3e5]))
    moved = (tmp_path / f"moved-{name}").read_bytes()
    assert b"INT32" not in moved
    if name.endswith(".ply"):
        types = [b"double"] * 3 + [b"uchar"]
        assert re.findall(rb"property (\w+) (?:[xyz]|red)\n", moved) == types


def test_arrays_keep_names_types_and_values(tmp_path: Path) -> None:
    tail = """TRIANGLE_STRIPS 1 5
4 0 1 2 3
POINT_DATA 4
SCALARS thickness float 1
LOOKUP_TABLE default
1 2 3 4
SCALARS curvature double 2
LOOKUP_TABLE default
5 6 7 8 5 6 7 8
FIELD more 2
region 1 4 int
16777217 2 3 4
area 1 4 double
0.1 0.2 0.3 0.4
CELL_DATA 3
COLOR_SCALARS colors 3
0 0 0 0.5 0.5 0.5 1 1 1
"""
    (tmp_path / "a.vtk").write_text(VTK.replace("float", "double") + tail)
    rewritten(tmp_path / "a.vtk", scaled())
    text = (tmp_path / "moved-a.vtk").read_text()
    assert text.endswith(tail)
    assert "POINTS 4 double\n0.0 0.0 0.0\n2.0 0.0 0.0\n" in text


def test_double_points_keep_their_precision(tmp_path: Path) -> None:
    points = "52123.4561 31765.4322 0.5 52123.4563 31765.4322 0.5 1 2 3 4 5 6"
    path = tmp_path / "a.vtk"
    path.write_text(VTK.replace("float", "double").replace("0 0 0 1 0 0 0 2 0 0 0 3", points))
    _, after = rewritten(path, itk.IdentityTransform[itk.D, 3].New())
    assert after.points[:2, 0].tolist() == [52123.4561, 52123.4563]


def test_vtk_5_is_read(tmp_path: Path) -> None:
    cells = """POLYGONS 3 6
OFFSETS vtktypeint64
0 3 6
CONNECTIVITY vtktypeint64
0 1 2 0 1 3
METADATA
INFORMATION 0

CELL_DATA 2
SCALARS a int 1
LOOKUP_TABLE default
1 2
"""
    path = tmp_path / "a.vtk"
    path.write_text(VTK.partition("POLYGONS")[0] + cells)
    _, after = rewritten(path, scaled())
    assert len(after.points) == 4
    assert (tmp_path / "moved-a.vtk").read_text().endswith(cells)


@pytest.mark.parametrize("name", ["a.vtk", "a.obj", "text.ply", "little.ply"])
def test_normals_do_not_turn_with_the_points_and_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    content = (VTK + NORMALS).encode() if name == "a.vtk" else CONTENTS[name]
    (tmp_path / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        rewritten(tmp_path / name, scaled())
    vectors = f"{tmp_path / name}: vectors at points, such as normals, are left out"
    assert caplog.messages == [vectors]
    moved = (tmp_path / f"moved-{name}").read_bytes()
    for word in (b"POINT_DATA", b"NORMALS", b"vn ", b"float nx", b"//"):
        assert word not in moved


def test_facets_get_the_normals_of_their_points(tmp_path: Path) -> None:
    (tmp_path / "binary.stl").write_bytes(binary_stl())
    turn = itk.AffineTransform[itk.D, 3].New()
    turn.SetMatrix(itk.matrix_from_array(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])))
    rewritten(tmp_path / "binary.stl", turn)
    content = (tmp_path / "moved-binary.stl").read_bytes()
    np.testing.assert_allclose(struct.unpack_from("<3f", content, 84), [0, -1, 0], atol=1e-6)
    assert struct.unpack_from("<H", content, 84 + 98)[0] == 1


def test_a_mesh_moves_in_its_own_dimension(tmp_path: Path) -> None:
    (tmp_path / "a.vtk").write_text(VTK)
    with pytest.raises(ValueError, match="a mesh in 2 dimensions like the transform, got 3"):
        move_mesh(read_mesh(tmp_path / "a.vtk", "MESH"), itk.AffineTransform[itk.D, 2].New())


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.vtk", "once upon a time", "no legacy VTK file"),
        ("a.vtk", VTK.replace("0 0 0 1", "nan 0 0 1"), "some of its points are not finite"),
        ("a.vtk", VTK.replace("2 8\n3", "2 8\n99999999"), "the sizes of its cells do not fit"),
        ("a.vtk", VTK.replace("0 1 3", "0 1 4"), "its cells name points 0 to 4, of 4"),
        (
            "a.vtk",
            VTK.replace("POINTS 4", "POINTS 2000000000"),
            "its header names 6000000000 numbers",
        ),
        ("a.vtk", VTK.replace("POINTS 4", "POINTS -4"), "its header names -12 numbers"),
        ("a.vtk", VTK.replace("POLYDATA", "UNSTRUCTURED_GRID"), "expected DATASET POLYDATA"),
        ("a.vtk", VTK + "POINT_DATA 5\n", "data of 5 points, of which there are 4"),
        ("a.off", "OFF\n0 0 0\n", "no points"),
        ("a.off", "OFF\n2000000000 2000000000 0\n0 0 0\n", "its header names 2000000000 numbers"),
        ("a.off", "OFF\n-1 -1 0\n", "its header names -1 numbers"),
        ("a.off", OFF.replace("3 0 1 2", "3 0 1 7"), "its cells name points 0 to 7, of 4"),
        ("a.obj", OBJ.replace("v 0 2 0", "v 0 inf 0"), "1 of its points are not finite"),
        ("a.obj", OBJ.replace("3//1", "9//1"), "its cells name points 0 to 8, of 4"),
        (
            "a.ply",
            PLY.replace("vertex 4", "vertex 2000000000"),
            "its header names 2000000000 numbers",
        ),
        ("a.ply", PLY.replace("3 0 1 2", "2000000000 0 1 2"), "a face lacks numbers"),
        ("a.ply", PLY.replace("3 0 1 2", "3 0 1 4"), "a corner is none of its 4 points"),
        ("a.ply", PLY.replace("list uchar", "list byte"), "expected known types, got byte"),
        ("a.stl", "solid x\nendsolid x\n", "no points"),
        ("a.byu", "1 2000000000 1 3\n1 1\n0 0 0\n", "its header names 2000000000 numbers"),
        ("a.gii", "<GIFTI></GIFTI>", "no points"),
    ],
)
def test_what_is_no_mesh_is_named(tmp_path: Path, name: str, text: str, found: str) -> None:
    (tmp_path / name).write_text(text)
    expected = f"expected MESH to be a mesh that can be read, got {tmp_path / name}: .*{found}"
    with pytest.raises(ValueError, match=expected):
        read_mesh(tmp_path / name, "MESH")


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.vtk").write_text(VTK)
    mesh = read_mesh(tmp_path / "a.vtk", "MESH")
    with pytest.raises(ValueError, match=r"expected to write a mesh to .* format, \.vtk, got"):
        write_mesh(mesh, tmp_path / "b.obj")
    with pytest.raises(ValueError, match=r"one of the formats \.vtk, \.obj, .*, got"):
        read_mesh(Path(__file__), "MESH")
