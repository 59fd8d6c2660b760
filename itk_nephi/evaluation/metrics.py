"""How good a registration is: landmark errors, Dice, folding, inverse consistency, similarity.

Everything here stands on ITK and numpy alone, so that a transform can be judged where torch is not
installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import itk
import numpy as np
import numpy.typing as npt

from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.resampling import resample
from itk_nephi.spatial.transforms import (
    DIFFERENCE,
    POINTS_AT_ONCE,
    compose,
    flatten,
    jacobians,
    matrix_and_offset,
    transform_points,
)


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
    domain = ImageDomain.of(reference)
    determinants = np.empty(domain.size[::-1], np.float32)
    parts = flatten(transform)
    if all(part.IsLinear() or part.GetNameOfClass() == "NePhiTransform" for part in parts):
        flat = determinants.reshape(-1)
        for voxels in _in_parts(flat.size):
            flat[voxels] = np.linalg.det(jacobians(transform, domain.voxel_points(voxels)))
        return image_from_array(determinants, domain)
    after = []  # linear parts at the end change no difference, but may move far: exact is better
    while parts[-1].IsLinear():
        after.append(matrix_and_offset(parts.pop())[0])
    scale = np.prod([np.linalg.det(matrix) for matrix in after])
    slices_at_once = max(1, POINTS_AT_ONCE // int(np.prod(domain.size[:-1])))
    for first in range(0, domain.size[-1], slices_at_once):
        slices = range(first, min(first + slices_at_once, domain.size[-1]))
        determinants[first : slices.stop] = scale * np.linalg.det(
            _slice_jacobians(compose(parts), domain, slices)
        )
    return image_from_array(determinants, domain)


def _slice_jacobians(transform: Any, domain: ImageDomain, slices: range) -> Array:
    """Differentiate a transform at the voxels of slices, by central differences; (k, j, i, D, D).

    ITK maps whole grids many times faster than points that come from Python one by one.
    """
    dimension = domain.dimension
    vectors = itk.Image[itk.Vector[itk.F, dimension], dimension]
    first = domain.points_from_index([0] * (dimension - 1) + [slices.start])

    def displacements(step: Array) -> Array:
        sampler = itk.TransformToDisplacementFieldFilter[vectors, itk.D].New(transform=transform)
        sampler.SetSize([*domain.size[:-1], len(slices)])
        sampler.SetOutputOrigin((first + step).tolist())
        sampler.SetOutputSpacing(domain.spacing)
        sampler.SetOutputDirection(itk.matrix_from_array(np.array(domain.direction)))
        sampler.Update()
        return np.asarray(itk.array_view_from_image(sampler.GetOutput())).astype(float)

    columns = [
        (displacements(step) - displacements(-step)) / (2 * DIFFERENCE)
        for step in DIFFERENCE * np.eye(dimension)
    ]
    return np.stack(columns, axis=-1) + np.eye(dimension)


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


def log_jacobian_sd(determinants: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> float:
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
    """Return the Dice overlap of each label after resampling the moving ones, nearest neighbor.

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
    warped_labels = resample(
        moving_labels, [fixed_to_moving], fixed_labels, interpolation="nearest"
    )
    fixed, warped = np.asarray(fixed_labels), np.asarray(warped_labels)
    labels = np.union1d(np.unique(fixed), np.unique(np.asarray(moving_labels)))
    return {
        int(label): float(2 * np.sum((fixed == label) & (warped == label)) / max(count, 1))
        for label in labels[labels != 0]
        for count in [np.sum(fixed == label) + np.sum(warped == label)]
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
    # not as products of matrices, whose last digits change with the number of threads
    norm = np.sqrt((first * first).sum() * (second * second).sum())
    return float((first * second).sum() / norm) if norm > 0 else float("nan")


def _in_parts(count: int) -> Iterator[npt.NDArray[np.int_]]:
    """Yield the numbers of all voxels, ``POINTS_AT_ONCE`` at a time."""
    for start in range(0, count, POINTS_AT_ONCE):
        yield np.arange(start, min(start + POINTS_AT_ONCE, count))


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
