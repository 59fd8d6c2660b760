from __future__ import annotations

import logging
from pathlib import Path

import itk
import numpy as np
import pytest

from itk_nephi.io.meshes import move_mesh, read_mesh, write_mesh

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.vtk").write_text(VTK + SCALARS)
    return tmp_path / "a.vtk"


def test_points_move_and_cells_and_scalars_stay(path: Path, tmp_path: Path) -> None:
    mesh = read_mesh(path, "MESH")
    transform = itk.ScaleTransform[itk.D, 3].New()
    transform.SetScale([2.0, 3.0, -1.0])
    move_mesh(mesh, transform)
    write_mesh(mesh, tmp_path / "b.vtk")
    again = read_mesh(tmp_path / "b.vtk", "MESH")
    moved = itk.array_from_vector_container(again.GetPoints())
    np.testing.assert_array_equal(moved, POINTS * [2, 3, -1])
    assert again.GetNumberOfCells() == 2
    assert [again.GetPointData().GetElement(n) for n in range(4)] == [1, 2, 3, 4]


def test_vectors_do_not_turn_with_the_points_and_are_left_out(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(VTK + NORMALS)
    with caplog.at_level(logging.WARNING):
        mesh = read_mesh(path, "MESH")
    assert caplog.messages == [f"{path}: vectors at points, such as normals, are left out"]
    write_mesh(mesh, tmp_path / "b.vtk")
    assert "POINT_DATA" not in (tmp_path / "b.vtk").read_text()


def test_a_mesh_moves_in_its_own_dimension(path: Path) -> None:
    with pytest.raises(ValueError, match="a mesh in 2 dimensions like the transform, got 3"):
        move_mesh(read_mesh(path, "MESH"), itk.AffineTransform[itk.D, 2].New())


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.vtk", "once upon a time", ""),
        ("a.stl", "solid x\nendsolid x\n", "a damaged file, or no mesh"),
        ("a.off", "OFF\n0 0 0\n", "no points"),
    ],
)
def test_what_is_no_mesh_is_named(tmp_path: Path, name: str, text: str, found: str) -> None:
    (tmp_path / name).write_text(text)
    expected = f"expected MESH to be a mesh that ITK can read, got {tmp_path / name}: {found}"
    with pytest.raises(ValueError, match=expected):
        read_mesh(tmp_path / name, "MESH")


def test_a_format_that_itk_has_not_is_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected to write a mesh to .*b\.xyz: "):
        write_mesh(read_mesh(path, "MESH"), tmp_path / "b.xyz")
