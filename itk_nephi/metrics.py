"""How good a registration is: landmark errors, Dice, folding, inverse consistency, similarity.

Everything here stands on ITK and numpy alone, so that a transform can be judged where torch is not
installed.
"""

from __future__ import annotations

from typing import Any

import itk
import numpy as np
import numpy.typing as npt

__all__ = [
    "composite_transform",
    "dice",
    "flat_transforms",
    "folding_fraction",
    "image_like",
    "inverse_consistency_errors",
    "is_inside",
    "jacobian_determinant_image",
    "jacobians",
    "landmark_errors",
    "normalized_cross_correlation",
    "standard_deviation_of_log_jacobian",
    "transform_points",
    "voxel_points",
]

Array = npt.NDArray[np.float64]

POINTS_AT_ONCE = 2**17
"""How many voxels are mapped together; bounds the memory of maps of whole images."""

DIFFERENCE = 1e-2
"""Half the step of central differences, mm: small against a voxel, large against rounding."""


def flat_transforms(transform: Any) -> list[Any]:
    """Return the parts of a transform, however nested, in the order in which they move a point.

    ITK applies the transform that was added to a composite last first.
    """
    transform = itk.down_cast(transform)
    if transform.GetNameOfClass() != "CompositeTransform":
        return [transform]
    numbers = reversed(range(transform.GetNumberOfTransforms()))
    return [part for n in numbers for part in flat_transforms(transform.GetNthTransform(n))]


def composite_transform(first_to_last: list[Any]) -> Any:
    """Chain transforms of double precision into one that moves a point in the order given."""
    composite = itk.CompositeTransform[itk.D, first_to_last[0].GetInputSpaceDimension()].New()
    for part in reversed(first_to_last):
        composite.AddTransform(part)
    return composite


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
    moved = _points_of(transform, points)
    for part in flat_transforms(transform):
        if part.GetNameOfClass() == "NePhiTransform":
            moved = part.TransformPoints(moved)
        elif part.IsLinear():
            matrix, offset = _affine(part)
            moved = moved @ matrix.T + offset
        else:
            singly = [part.TransformPoint(point) for point in moved.tolist()]
            moved = np.array(singly, dtype=float).reshape(moved.shape)
    return moved


def jacobians(transform: Any, points: npt.ArrayLike) -> Array:
    """Differentiate any ITK transform by the position, at many points.

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
        ``[n, i, j]`` is the derivative of component ``i`` by coordinate ``j``, dimensionless.

    Raises
    ------
    ValueError
        If the points are not of the transform's dimension.
    """
    place = _points_of(transform, points)
    dimension = place.shape[1]
    product = np.broadcast_to(np.eye(dimension), (len(place), dimension, dimension))
    parts = flat_transforms(transform)
    for number, part in enumerate(parts):
        if part.GetNameOfClass() == "NePhiTransform":
            product = part.JacobiansWithRespectToPosition(place) @ product
        elif part.IsLinear():
            product = _affine(part)[0] @ product
        else:
            columns = [
                transform_points(part, place + step) - transform_points(part, place - step)
                for step in DIFFERENCE * np.eye(dimension)
            ]
            product = np.stack(columns, axis=-1) / (2 * DIFFERENCE) @ product
        if not all(later.IsLinear() for later in parts[number + 1 :]):
            place = transform_points(part, place)
    return np.array(product)


def jacobian_determinant_image(transform: Any, reference: Any) -> Any:
    """Return how a transform changes volume (in 2D, area) at every voxel of an image.

    Parameters
    ----------
    transform : itk.Transform
        Maps from the points of ``reference``.
    reference : itk.Image
        Gives the grid.

    Returns
    -------
    itk.Image of float
        Dimensionless: 1 keeps the volume, below 1 compresses, 0 and below folds.
    """
    size = tuple(reference.GetLargestPossibleRegion().GetSize())
    determinants = np.empty(size[::-1], np.float32)
    flat = determinants.reshape(-1)
    for start in range(0, flat.size, POINTS_AT_ONCE):
        voxels = np.arange(start, min(start + POINTS_AT_ONCE, flat.size))
        flat[voxels] = np.linalg.det(jacobians(transform, voxel_points(reference, voxels)))
    return image_like(reference, determinants)


def folding_fraction(determinants: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> float:
    """Return the fraction of voxels, in [0, 1], whose Jacobian determinant is not positive.

    Parameters
    ----------
    determinants : itk.Image or array
        Jacobian determinants.
    mask : itk.Image or array, optional
        On the same grid; not zero where to look.

    Raises
    ------
    ValueError
        If the mask is empty or on another grid.
    """
    return float(np.mean(~(_masked("determinants", determinants, mask) > 0)))


def standard_deviation_of_log_jacobian(
    determinants: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> float:
    """Return the standard deviation of the logarithm of the Jacobian determinants.

    A measure of smoothness, dimensionless. Folded voxels have no logarithm and are left out; NaN if
    all are folded. Arguments and errors as for :func:`folding_fraction`.
    """
    values = _masked("determinants", determinants, mask)
    values = values[values > 0]
    return float(np.log(values).std()) if values.size else float("nan")


def landmark_errors(
    transform: Any, fixed_points: npt.ArrayLike, moving_points: npt.ArrayLike
) -> Array:
    """Return by how much a transform misses each landmark.

    Parameters
    ----------
    transform : itk.Transform
        From fixed to moving points.
    fixed_points, moving_points : array, shape (N, D)
        Corresponding physical points, mm.

    Returns
    -------
    array, shape (N,)
        Distances in moving space, mm.

    Raises
    ------
    ValueError
        If there are not as many points of one kind as of the other.
    """
    moved, moving_points = transform_points(transform, fixed_points), np.asarray(moving_points)
    if moved.shape != moving_points.shape:
        raise ValueError(
            f"expected as many moving_points as fixed_points, shape {moved.shape}, "
            f"got shape {moving_points.shape}"
        )
    return np.asarray(np.linalg.norm(moved - moving_points, axis=1))


def inverse_consistency_errors(
    fixed_to_moving: Any, moving_to_fixed: Any, points: npt.ArrayLike
) -> Array:
    """Return by how far points of fixed space come back to another place, mm, shape (N,).

    Parameters
    ----------
    fixed_to_moving, moving_to_fixed : itk.Transform
        Transforms that should undo each other.
    points : array, shape (N, D)
        Physical points of fixed space, mm.
    """
    back = transform_points(moving_to_fixed, transform_points(fixed_to_moving, points))
    return np.asarray(np.linalg.norm(back - np.asarray(points), axis=1))


def dice(fixed_labels: Any, moving_labels: Any, fixed_to_moving: Any) -> dict[int, float]:
    """Return the Dice overlap of each label after resampling the moving ones, nearest neighbour.

    Parameters
    ----------
    fixed_labels, moving_labels : itk.Image
        Whole numbers; 0 is background.
    fixed_to_moving : itk.Transform
        From points of fixed to points of moving space.

    Returns
    -------
    dict
        Label to Dice in [0, 1], for each label of either image. What lands outside the moving
        image is background.
    """
    fixed, moving = (np.asarray(labels) for labels in (fixed_labels, moving_labels))
    warped = np.zeros(fixed.size, moving.dtype)
    for start in range(0, fixed.size, POINTS_AT_ONCE):
        voxels = np.arange(start, min(start + POINTS_AT_ONCE, fixed.size))
        points = transform_points(fixed_to_moving, voxel_points(fixed_labels, voxels))
        inside = is_inside(moving_labels, points)
        nearest = np.rint(_index_of(moving_labels, points[inside])).astype(int)
        warped[voxels[inside]] = moving[tuple(nearest.T[::-1])]
    labels = np.union1d(np.unique(fixed), np.unique(moving))
    flat = fixed.reshape(-1)
    return {
        int(label): float(2 * np.sum((flat == label) & (warped == label)) / max(count, 1))
        for label in labels[labels != 0]
        for count in [np.sum(flat == label) + np.sum(warped == label)]
    }


def normalized_cross_correlation(
    fixed: npt.ArrayLike, warped: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> float:
    """Return the correlation of two images' intensities, in [-1, 1]; NaN where one is constant.

    Parameters
    ----------
    fixed, warped : itk.Image or array
        On the same grid.
    mask : itk.Image or array, optional
        On the same grid; not zero where to look.

    Raises
    ------
    ValueError
        If a grid is another, or the mask is empty.
    """
    first, second = _masked("fixed", fixed, mask), _masked("warped", warped, mask)
    if first.shape != second.shape:
        raise ValueError(
            f"expected warped on the grid of fixed, {np.shape(fixed)}, got {np.shape(warped)}"
        )
    first, second = first - first.mean(), second - second.mean()
    norm = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / norm) if norm > 0 else float("nan")


def image_like(reference: Any, values: npt.NDArray[Any]) -> Any:
    """Return an ``itk.Image`` of an array, shape (k, j, i), on the grid of another image."""
    image = itk.image_from_array(np.ascontiguousarray(values))
    image.SetSpacing(reference.GetSpacing())
    image.SetDirection(reference.GetDirection())
    image.SetOrigin([float(x) for x in voxel_points(reference, np.zeros(1, int))[0]])
    return image


def voxel_points(image: Any, voxels: npt.NDArray[np.int_]) -> Array:
    """Return the physical points, mm, shape (N, D), of voxels numbered as they are stored."""
    region = image.GetLargestPossibleRegion()
    index = np.unravel_index(voxels, tuple(region.GetSize())[::-1])
    matrix, origin = _index_to_point(image)
    points: Array = (
        np.stack(index[::-1], axis=-1) + np.array(region.GetIndex())
    ) @ matrix.T + origin
    return points


def is_inside(image: Any, points: Array) -> npt.NDArray[np.bool_]:
    """Say of each physical point, shape (N, D), whether it lies in one of an image's voxels."""
    nearest = np.rint(_index_of(image, points))
    last = np.array(image.GetLargestPossibleRegion().GetSize()) - 1
    return np.asarray(((nearest >= 0) & (nearest <= last)).all(axis=1))


def _index_of(image: Any, points: Array) -> Array:
    """Return continuous indices, counted from the first voxel, i first."""
    matrix, origin = _index_to_point(image)
    index = np.linalg.solve(matrix, (points - origin).T).T
    return np.asarray(index - np.array(image.GetLargestPossibleRegion().GetIndex()))


def _index_to_point(image: Any) -> tuple[Array, Array]:
    direction: Array = itk.array_from_matrix(image.GetDirection())
    return direction * np.array(image.GetSpacing()), np.array(image.GetOrigin())


def _affine(transform: Any) -> tuple[Array, Array]:
    """Return the matrix and the offset, mm, of a linear transform."""
    dimension = transform.GetInputSpaceDimension()
    offset = np.array(transform.TransformPoint([0.0] * dimension))
    columns = [
        np.array(transform.TransformPoint(axis)) - offset for axis in np.eye(dimension).tolist()
    ]
    return np.stack(columns, axis=-1), offset


def _points_of(transform: Any, points: npt.ArrayLike) -> Array:
    array = np.asarray(points, dtype=float)
    dimension = transform.GetInputSpaceDimension()
    if array.ndim != 2 or array.shape[1] != dimension:
        raise ValueError(f"expected points of shape (N, {dimension}), got shape {array.shape}")
    return array


def _masked(name: str, values: npt.ArrayLike, mask: npt.ArrayLike | None) -> Array:
    array = np.asarray(values, dtype=float)
    if mask is None:
        return array.reshape(-1)
    chosen = np.asarray(mask) != 0
    if chosen.shape != array.shape:
        raise ValueError(
            f"expected a mask on the grid of {name}, {array.shape}, got {chosen.shape}"
        )
    if not chosen.any():
        raise ValueError("expected a mask with voxels that are not zero, got an empty one")
    return np.asarray(array[chosen])
