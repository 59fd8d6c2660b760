"""Meshes: read with clear messages on what is wrong, and mapped through a transform."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from itk_nephi.io.errors import plain_errors, require_file
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.transforms import transform_points

logger = logging.getLogger(__name__)


def read_mesh(path: Path, argument: str) -> Any:
    """Read a mesh with the scalars of its points and cells; vectors, such as normals, are left out.

    Parameters
    ----------
    path : Path
        In any format that ITK reads.
    argument : str
        What messages call it.

    Returns
    -------
    itk.Mesh of float
        In the dimension of the file; most formats know 3 only.

    Raises
    ------
    ValueError
        If ITK cannot read the file.
    """
    require_file(path, argument)
    with plain_errors(f"expected {argument} to be a mesh that ITK can read, got {path}"):
        header = itk.MeshIOFactory.CreateMeshIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
        if header is None:
            raise ValueError("a damaged file, or no mesh")
        header.SetFileName(str(path))
        header.ReadMeshInformation()
        mesh = itk.meshread(str(path), itk.F)
        if not mesh.GetNumberOfPoints():
            raise ValueError("no points")
    for kind, count, components, leave_out in (
        (
            "points",
            header.GetNumberOfPointPixels(),
            header.GetNumberOfPointPixelComponents(),
            mesh.SetPointData,
        ),
        (
            "cells",
            header.GetNumberOfCellPixels(),
            header.GetNumberOfCellPixelComponents(),
            mesh.SetCellData,
        ),
    ):
        if count and components > 1:
            leave_out(None)
            logger.warning("%s: vectors at %s, such as normals, are left out", path, kind)
    return mesh


def write_mesh(mesh: Any, path: Path) -> None:
    """Write a mesh in the format that the suffix names."""
    with plain_errors(f"expected to write a mesh to {path}"):
        itk.meshwrite(mesh, str(path))


def move_mesh(mesh: Any, transform: Any) -> None:
    """Map the points of an ``itk.Mesh`` through a transform, in place; cells and scalars stay.

    Raises
    ------
    ValueError
        If the dimensions differ.
    """
    points = itk.array_view_from_vector_container(mesh.GetPoints())
    dimension = transform.GetInputSpaceDimension()
    if points.shape[1] != dimension:
        raise ValueError(
            f"expected a mesh in {dimension} dimensions like the transform, got {points.shape[1]}"
        )
    points[:] = transform_points(transform, points)
    mesh.GetPoints().Modified()
