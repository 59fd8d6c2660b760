from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.meshes import Mesh, move_mesh, read_mesh, write_mesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
VTK = """# vtk DataFile Version 3.0
tetrahedron
ASCII
DATASET POLYDATA
POINTS 4 float
0 0 0 1 0 0 0 2 0 0 0 3
POLYGONS 2 8
3 0 1 2
3 0 1 3
"""
SCALARS = "POINT_DATA 4\nSCALARS number float 1\nLOOKUP_TABLE default\n1 2 3 4\n"
NORMALS = "POINT_DATA 4\nNORMALS normals float\n0 0 1 0 1 0 1 0 0 0 0 1\n"
OBJ = "# by hand\nv 0 0 0\nv 1 0 0 1 1 1\nv 0 2 0\nv 0 0 3\nvn 0 0 1\ng side\nf 1//1 2//1 3//1\n"
OFF = "OFF\n# by hand\n4 2 0\n0 0 0\n1 0 0\n0 2 0\n0 0 3\n3 0 1 2\n3 0 1 3 255 0 0\n"
PLY = """ply
format ascii 1.0
comment by hand
element vertex 4
property float x
property float y
property float z
property float nx
property uchar red
element face 1
property list uchar int vertex_indices
end_header
0 0 0 1 7
1 0 0 1 8
0 2 0 1 9
0 0 3 1 10
3 0 1 2
"""


def binary_vtk() -> bytes:
    head = VTK.replace("ASCII", "BINARY").partition("0 0 0 1")[0].encode()
    cells = struct.pack(">8i", 3, 0, 1, 2, 3, 0, 1, 3)
    labels = b"CELL_DATA 2\nSCALARS region int 1\nLOOKUP_TABLE default\n"
    return b"".join(
        [
            head + POINTS.astype(">f4").tobytes() + b"\nPOLYGONS 2 8\n" + cells + b"\n",
            labels + struct.pack(">2i", 16777217, -5) + b"\n",
        ]
    )


def binary_ply(order: str) -> bytes:
    sign = {"little": "<", "big": ">"}[order]
    head = PLY.partition("end_header\n")[0].replace("ascii", f"binary_{order}_endian")
    rows = [
        struct.pack(f"{sign}4fB", *point, 1.0, 7 + n) for n, point in enumerate(POINTS.tolist())
    ]
    return f"{head}end_header\n".encode() + b"".join(rows) + struct.pack(f"{sign}B3i", 3, 0, 1, 2)


def binary_stl() -> bytes:
    corners = POINTS[[0, 1, 2, 0, 1, 3]].reshape(2, 9).tolist()
    facets = [struct.pack("<12fH", 0, 0, 1, *facet, n) for n, facet in enumerate(corners)]
    return b"made by hand".ljust(80) + struct.pack("<I", 2) + b"".join(facets)


def text_stl() -> bytes:
    corners = "vertex 0 0 0\nvertex 1 0 0\nvertex 0 2 0\n"
    facet = f"facet normal 0 0 1\nouter loop\n{corners}endloop\nendfacet\n"
    return f"solid x\n{facet}endsolid x\n".encode()


def gifti(tmp_path: Path) -> bytes:
    (tmp_path / "g.vtk").write_text(VTK)
    itk.meshwrite(itk.meshread(str(tmp_path / "g.vtk"), itk.F), str(tmp_path / "g.gii"))
    return (tmp_path / "g.gii").read_bytes()


CONTENTS: dict[str, bytes] = {
    "text.vtk": (VTK + SCALARS).encode(),
    "binary.vtk": binary_vtk(),
    "a.obj": OBJ.encode(),
    "a.off": OFF.encode(),
    "text.ply": PLY.encode(),
    "little.ply": binary_ply("little"),
    "big.ply": binary_ply("big"),
    "binary.stl": binary_stl(),
    "text.stl": text_stl(),
}


@pytest.fixture(params=[*CONTENTS, "a.gii"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name = request.param
    content = gifti(tmp_path) if name == "a.gii" else CONTENTS[name]
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def scaled() -> Any:
    transform = itk.ScaleTransform[itk.D, 3].New()
    transform.SetScale([2.0, 3.0, -1.0])
    return transform


def rewritten(path: Path, transform: Any) -> tuple[Mesh, Mesh]:
    mesh = read_mesh(path, "MESH")
    write_mesh(move_mesh(mesh, transform), path.with_name(f"moved-{path.name}"))
    return mesh, read_mesh(path.with_name(f"moved-{path.name}"), "MESH")


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


def test_a_space_that_gifti_names_is_that_of_nifti(tmp_path: Path) -> None:
    content = gifti(tmp_path)
    path = tmp_path / "a.gii"
    empty = b"<DataSpace><![CDATA["
    path.write_bytes(content.replace(empty, empty + b"NIFTI_XFORM_SCANNER_ANAT"))
    np.testing.assert_array_equal(read_mesh(path, "MESH").points, POINTS * [-1, -1, 1])


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
