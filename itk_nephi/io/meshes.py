"""Meshes: read with clear messages on what is wrong, and mapped through a transform.

A mesh file stays as it is, but for its points: all arrays keep their names, types and values.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from itk_nephi.io.errors import plain_errors, require_file
from itk_nephi.io.mesh_formats import READERS
from itk_nephi.spatial.domain import Array, Transform
from itk_nephi.spatial.transforms import transform_points

logger = logging.getLogger(__name__)

TO_LPS = {"LPS": np.array([1.0, 1.0, 1.0]), "RAS": np.array([-1.0, -1.0, 1.0])}
"""What turns points of a space into those of ITK, x to the left and y to the back."""


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """A mesh file: its points, and what writes it with others.

    Parameters
    ----------
    points : array, shape (N, 3)
        Physical points, mm, as in ITK (LPS), whatever space the file has them in.
    suffix : str
        Of the file.
    rebuild : callable
        From such points to the bytes of the file.
    """

    points: Array
    suffix: str
    rebuild: Callable[[Array], bytes]


def read_mesh(path: Path, argument: str) -> Mesh:
    """Read a mesh.

    Parameters
    ----------
    path : Path
        A legacy VTK, OBJ, OFF, PLY, STL, GIFTI or BYU file. Where it names a space, as 3D Slicer
        writes ``SPACE=RAS`` into comments, its points are of that space, else of ITK's. Those of
        GIFTI are in RAS, but where its data space is empty, as ITK writes it.
    argument : str
        What messages call it.

    Raises
    ------
    ValueError
        If the file is none of these, truncated or damaged, without points, or in a space that is
        not known.
    """
    require_file(path, argument)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise ValueError(
            f"expected {argument} to be a mesh of one of the formats {', '.join(READERS)}, got "
            f"{path}"
        )
    with plain_errors(f"expected {argument} to be a mesh that can be read, got {path}"):
        found = READERS[suffix](path.read_bytes())
        if not len(found.points):
            raise ValueError("no points")
        if not np.isfinite(found.points).all():
            raise ValueError("some of its points are not finite")
        space = _space(found.comments) or found.space or "LPS"
        if space not in TO_LPS:
            raise ValueError(f"its space is {space}, which is none of {', '.join(TO_LPS)}")
    if found.space_is_assumed:
        logger.warning("%s: its points, whose space it does not name, are taken as %s", path, space)
    for what in found.left_out:
        logger.warning("%s: %s are left out", path, what)
    for what in found.kept:
        logger.warning("%s: %s is kept as it is", path, what)
    signs = TO_LPS[space]
    return Mesh(
        points=found.points * signs,
        suffix=suffix,
        rebuild=lambda points: found.rebuild(points * signs),
    )


def write_mesh(mesh: Mesh, path: Path) -> None:
    """Write a mesh, in the format and the space of the file that it was read from.

    Raises
    ------
    ValueError
        If the suffix is that of another format.
    """
    if path.suffix.lower() != mesh.suffix:
        raise ValueError(
            f"expected to write a mesh to a file of its own format, {mesh.suffix}, got {path}"
        )
    path.write_bytes(mesh.rebuild(mesh.points))


def move_mesh(mesh: Mesh, transform: Transform) -> Mesh:
    """Return a mesh with its points mapped through a transform; all else stays.

    Raises
    ------
    ValueError
        If the dimensions differ.
    """
    dimension = transform.GetInputSpaceDimension()
    if dimension != 3:
        raise ValueError(f"expected a mesh in {dimension} dimensions like the transform, got 3")
    return replace(mesh, points=transform_points(transform, mesh.points))


def _space(comments: str) -> str:
    """Return the space that comments name, in capitals; empty if they name none."""
    found = re.search(r"\bSPACE\s*=\s*([\w-]+)", comments, re.IGNORECASE)
    return "" if found is None else found[1].upper()
