"""A tetrahedron in the formats of meshes, and how it is mapped and written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import itk
import numpy as np

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
    "capitals.stl": text_stl().upper(),
}


def scaled() -> Any:
    transform = itk.ScaleTransform[itk.D, 3].New()
    transform.SetScale([2.0, 3.0, -1.0])
    return transform


def rewritten(path: Path, transform: Any) -> tuple[Mesh, Mesh]:
    mesh = read_mesh(path, "MESH")
    write_mesh(move_mesh(mesh, transform), path.with_name(f"moved-{path.name}"))
    return mesh, read_mesh(path.with_name(f"moved-{path.name}"), "MESH")
