from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from support.meshes import PLY, POINTS, binary_ply, rewritten, scaled


def test_ply_keeps_what_other_elements_call_as_points_do(tmp_path: Path) -> None:
    more = "element light 1\nproperty int x\nproperty float nx\nend_header\n"
    text = PLY.replace("property float x", "property int x").replace("end_header\n", more)
    (tmp_path / "a.ply").write_text(text + "5 0.5\n")
    rewritten(tmp_path / "a.ply", scaled())
    moved = (tmp_path / "moved-a.ply").read_text()
    assert more in moved
    assert moved.endswith("\n5 0.5\n")


@pytest.mark.parametrize("order", ["ascii", "little", "big"])
def test_strips_of_triangles_in_ply_end_with_minus_one(tmp_path: Path, order: str) -> None:
    content = PLY.encode() if order == "ascii" else binary_ply(order)
    head, _ = content.split(b"element face 1\n")
    body = content.split(b"end_header\n")[1]
    strips = [0, 1, 2, -1, 0, 1, 3, -1]
    if order == "ascii":
        body = body.replace(b"3 0 1 2\n", f"8 {' '.join(map(str, strips))}\n".encode())
    else:
        sign = {"little": "<", "big": ">"}[order]
        body = body[:-13] + struct.pack(f"{sign}9i", 8, *strips)
    element = b"element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_bytes(head + element + body)
    _, after = rewritten(tmp_path / "a.ply", scaled())
    np.testing.assert_array_equal(after.points, POINTS * [2, 3, -1])
