"""Any ITK transform, however composed: its parts in order, and where it maps many points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array

DIFFERENCE = 1e-2
"""Half the step of central differences, voxels: small against one, large against rounding."""

POINTS_AT_ONCE = 2**17
"""How many voxels are mapped together; bounds the memory of maps of whole images."""


def compose(first_to_last: Iterable[Any]) -> Any:
    """Chain transforms of double precision; the first one moves a point first.

    ITK applies the transform that was added to a composite last first.
    """
    parts = list(first_to_last)
    chain = itk.CompositeTransform[itk.D, parts[0].GetInputSpaceDimension()].New()
    for part in reversed(parts):
        chain.AddTransform(part)
    return chain


def cloned(transform: Any) -> Any:
    """Return a transform, or a composite with all of its parts, that changes no more with it."""
    return itk.down_cast(transform).Clone()


def is_neural(transform: Any) -> bool:
    """Return whether a transform is an ``itk.NePhiTransform``, a neural deformation field."""
    return bool(transform.GetNameOfClass() == "NePhiTransform")


def flatten(transform: Any) -> list[Any]:
    """Return the parts of a transform, however nested, in the order in which they move a point.

    ITK applies the transform that was added to a composite last first.
    """
    transform = itk.down_cast(transform)
    if transform.GetNameOfClass() != "CompositeTransform":
        return [transform]
    numbers = reversed(range(transform.GetNumberOfTransforms()))
    return [part for n in numbers for part in flatten(transform.GetNthTransform(n))]


def transform_points(transform: Any, points: npt.ArrayLike) -> Array:
    """Map many points through any ITK transform.

    Parameters
    ----------
    transform : itk.Transform
        Composites are followed part by part; an ``itk.NePhiTransform`` maps all points at once.
    points : array, shape (N, D)
        Physical points, mm.

    Returns
    -------
    array, shape (N, D)
        Physical points, mm.

    Raises
    ------
    ValueError
        If the points are not of the transform's dimension.
    """
    moved = _checked_points(transform, points)
    for part in flatten(transform):
        if is_neural(part):
            moved = part.TransformPoints(moved)
        elif part.IsLinear():
            matrix, offset = matrix_and_offset(part)
            moved = moved @ matrix.T + offset
        else:
            singly = [part.TransformPoint(point) for point in moved.tolist()]
            moved = np.array(singly, dtype=float).reshape(moved.shape)
    return moved


def jacobians(transform: Any, points: npt.ArrayLike) -> Array:
    """Return the Jacobians of any ITK transform with respect to the position, at many points.

    Exact for linear transforms and ``itk.NePhiTransform``; other parts by central differences.

    Parameters
    ----------
    transform : itk.Transform
        As for :func:`transform_points`.
    points : array, shape (N, D)
        Physical points, mm.

    Returns
    -------
    array, shape (N, D, D)
        ``[n, i, j]``, dimensionless, is the derivative of component ``i`` with respect to
        coordinate ``j``.

    Raises
    ------
    ValueError
        If the points are not of the transform's dimension.
    """
    position = _checked_points(transform, points)
    dimension = position.shape[1]
    product = np.broadcast_to(np.eye(dimension), (len(position), dimension, dimension))
    parts = flatten(transform)
    for number, part in enumerate(parts):
        if is_neural(part):
            product = part.JacobiansWithRespectToPosition(position) @ product
        elif part.IsLinear():
            product = matrix_and_offset(part)[0] @ product
        else:
            length = DIFFERENCE * resolution(part, position)
            columns = [
                transform_points(part, position + step) - transform_points(part, position - step)
                for step in length * np.eye(dimension)
            ]
            product = np.stack(columns, axis=-1) / (2 * length) @ product
        if not all(later.IsLinear() for later in parts[number + 1 :]):
            position = transform_points(part, position)
    return np.array(product)


def resolution(transform: Any, points: npt.ArrayLike) -> float:
    """Return the length over which a transform changes, mm: the smallest voxel of its parts.

    Parameters
    ----------
    transform : itk.Transform
        The smallest distance of the samples of its displacement fields, the control points of its
        B-splines, and the voxels of the images of its neural fields.
    points : array, shape (N, D)
        Where it is asked for; a hundredth of their extent is taken of a transform without samples.
    """
    lengths: list[float] = []
    for part in flatten(transform):
        if is_neural(part):
            lengths += part.GetSpacing()
        elif hasattr(part, "GetDisplacementField") and part.GetDisplacementField() is not None:
            lengths += [float(length) for length in part.GetDisplacementField().GetSpacing()]
        elif hasattr(part, "GetTransformDomainMeshSize"):
            edges = np.array(part.GetTransformDomainPhysicalDimensions())
            lengths += (edges / np.array(part.GetTransformDomainMeshSize())).tolist()
    array = np.asarray(points, dtype=float)
    array = array[np.isfinite(array).all(axis=1)]
    extent = float(np.ptp(array, axis=0).max()) if len(array) else 0.0
    return min((length for length in lengths if length > 0), default=extent / 100 or 1.0)


def matrix_and_offset(transform: Any) -> tuple[Array, Array]:
    """Return the matrix and the offset, mm, of a linear transform."""
    dimension = transform.GetInputSpaceDimension()
    offset = np.array(transform.TransformPoint([0.0] * dimension))
    columns = [
        np.array(transform.TransformPoint(axis)) - offset for axis in np.eye(dimension).tolist()
    ]
    return np.stack(columns, axis=-1), offset


def _checked_points(transform: Any, points: npt.ArrayLike) -> Array:
    array = np.asarray(points, dtype=float)
    dimension = transform.GetInputSpaceDimension()
    if array.ndim != 2 or array.shape[1] != dimension:
        raise ValueError(f"expected points of shape (N, {dimension}), got shape {array.shape}")
    return array
