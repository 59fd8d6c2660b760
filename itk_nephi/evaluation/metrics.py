"""Metrics of a registration: landmark errors, Dice, folding, inverse consistency, similarity.

Everything here stands on ITK and numpy alone, so that a transform can be judged where torch is not
installed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.intensities import IntensityRange
from itk_nephi.spatial.maps import coarser, sampled_transform
from itk_nephi.spatial.preparation import check_labels
from itk_nephi.spatial.resampling import resample
from itk_nephi.spatial.transforms import (
    DIFFERENCE,
    POINTS_AT_ONCE,
    compose,
    flatten,
    is_neural,
    matrix_and_offset,
    transform_points,
)

MAX_DETERMINANTS = 2**22
"""Voxels at which Jacobian determinants are computed for statistics, about, if there are more."""


def jacobian_determinant_image(transform: Any, reference: Any) -> Any:
    """Return the Jacobian determinants of a transform at the voxels of an image.

    Parameters
    ----------
    transform : itk.Transform
        Maps from the points of ``reference``.
    reference : itk.Image
        Gives the grid.

    Returns
    -------
    itk.Image of float
        Dimensionless: 1 keeps the volume, below 1 compresses, 0 and below is folding.
    """
    return _determinant_image(transform, ImageDomain.of(reference))


def sampled_determinant_image(transform: Any, reference: Any) -> Any:
    """Return Jacobian determinants on the grid that suffices for statistics of an image.

    Parameters
    ----------
    transform : itk.Transform
        Maps from the points of ``reference``.
    reference : itk.Image
        Gives the grid, see :func:`determinant_grid`.
    """
    return _determinant_image(transform, determinant_grid(ImageDomain.of(reference)))


def determinant_grid(domain: ImageDomain, region: int | None = None) -> ImageDomain:
    """Return where Jacobian determinants are computed for their statistics.

    Parameters
    ----------
    domain : ImageDomain
        The voxels of an image.
    region : int, optional
        How many of them matter; all when left out.

    Returns
    -------
    ImageDomain
        The same where no more than ``MAX_DETERMINANTS`` voxels matter, else a coarser grid with
        about so many points that do.
    """
    voxels = math.prod(domain.size)
    return coarser(domain, MAX_DETERMINANTS * voxels / (voxels if region is None else region))


def _determinant_image(transform: Any, domain: ImageDomain) -> Any:
    determinants = np.empty(domain.size[::-1], np.float32)
    flat, done = determinants.reshape(-1), 0
    for part in jacobian_determinants(transform, domain):
        flat[done : done + part.size] = part
        done += part.size
    return image_from_array(determinants, domain)


def jacobian_determinants(
    transform: Any,
    domain: ImageDomain,
    inside: npt.NDArray[np.bool_] | None = None,
    *,
    refinement: int = 1,
) -> Iterator[npt.NDArray[np.float32]]:
    """Compute Jacobian determinants on a grid, a few slices at a time, so that memory stays flat.

    Exact for linear transforms and ``itk.NePhiTransform``; others by central differences.

    Parameters
    ----------
    transform : itk.Transform
        Maps from the points of ``domain``.
    domain : ImageDomain
        The grid.
    inside : array of bool, shape (k, j, i), optional
        At which voxels, at least one; at all when left out.
    refinement : int
        Into how many parts each voxel is divided along each axis, each with a determinant at its
        center.

    Yields
    ------
    array of float, shape (N,)
        Dimensionless, in the order in which voxels are stored.
    """
    fine = domain.subdivided(refinement)
    compute = (
        _exact_determinants
        if all(part.IsLinear() or is_neural(part) for part in flatten(transform))
        else _differenced_determinants
    )
    shape = fine.size[::-1]
    slices_at_once = max(1, POINTS_AT_ONCE // math.prod(shape[1:]))
    for first in range(0, shape[0], slices_at_once):
        slices = range(first, min(first + slices_at_once, shape[0]))
        chosen = np.ones((len(slices), *shape[1:]), bool)
        if inside is not None:
            voxels = [np.asarray(axis) // refinement for axis in (slices, *map(range, shape[1:]))]
            chosen = inside[np.ix_(*voxels)]
        if chosen.any():
            yield compute(transform, fine, slices, chosen).astype(np.float32)


def _exact_determinants(
    transform: Any, domain: ImageDomain, slices: range, chosen: npt.NDArray[np.bool_]
) -> Array:
    voxels = np.flatnonzero(chosen) + slices.start * chosen[0].size
    points = domain.voxel_points(voxels[:1] if transform.IsLinear() else voxels)
    product = np.ones(len(points))
    waiting: list[Any] = []
    for part in flatten(transform):
        if part.IsLinear():
            product *= np.linalg.det(matrix_and_offset(part)[0])
        else:
            for earlier in waiting:
                points = transform_points(earlier, points)
            product *= np.linalg.det(part.JacobiansWithRespectToPosition(points))
            waiting = []
        waiting.append(part)
    return np.broadcast_to(product, voxels.shape)


def _differenced_determinants(
    transform: Any, domain: ImageDomain, slices: range, chosen: npt.NDArray[np.bool_]
) -> Array:
    parts, after = flatten(transform), []
    while parts[-1].IsLinear():  # changes no difference, but may move far: exact is better
        after.append(matrix_and_offset(parts.pop())[0])
    scale = np.prod([np.linalg.det(matrix) for matrix in after])
    return np.asarray(
        scale * np.linalg.det(_slice_jacobians(compose(parts), domain, slices)[chosen])
    )


def _slice_jacobians(transform: Any, domain: ImageDomain, slices: range) -> Array:
    """Differentiate a transform at the voxels of slices, by central differences; (k, j, i, D, D).

    ITK maps whole grids many times faster than points that come from Python one by one. It rounds
    displacements to single precision, so that what they have in common is taken away before.
    """
    dimension = domain.dimension
    middle = domain.points_from_index([*((n - 1) // 2 for n in domain.size[:-1]), slices[0]])[None]
    shift = itk.TranslationTransform[itk.D, dimension].New()
    shift.SetOffset((middle - transform_points(transform, middle))[0].tolist())
    transform = compose([transform, shift])
    first = domain.points_from_index([0] * (dimension - 1) + [slices.start])

    def displacements(step: Array) -> Array:
        field = itk.displacement_field(
            transform,
            size=[*domain.size[:-1], len(slices)],
            output_origin=(first + step).tolist(),
            output_spacing=domain.spacing,
            output_direction=itk.matrix_from_array(np.array(domain.direction)),
        )
        return itk.array_view_from_image(field).astype(float)

    length = DIFFERENCE * min(domain.spacing)
    columns = [
        (displacements(step) - displacements(-step)) / (2 * length)
        for step in length * np.eye(dimension)
    ]
    return np.stack(columns, axis=-1) + np.eye(dimension)


def folding_fraction(determinants: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> float:
    """Return the fraction of voxels, in [0, 1], whose Jacobian determinant is not positive.

    Parameters
    ----------
    determinants : itk.Image or array
        Jacobian determinants.
    mask : itk.Image or array, optional
        On the same grid; non-zero where to look.

    Raises
    ------
    ValueError
        If the mask is empty or on another grid.
    """
    return volume_change(masked_parts("determinants", determinants, mask))[0]


def log_jacobian_sd(determinants: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> float:
    """Return the standard deviation of the logarithm of the Jacobian determinants.

    A measure of smoothness, dimensionless. Folded voxels have no logarithm and are left out; NaN if
    all are folded. Arguments and errors as for :func:`folding_fraction`.
    """
    return volume_change(masked_parts("determinants", determinants, mask))[1]


def volume_change(determinants: Iterable[npt.NDArray[np.floating]]) -> tuple[float, float]:
    """Return the folding fraction and the SD of the log Jacobian of determinants, in one pass.

    Parameters
    ----------
    determinants : iterable of array
        As :func:`jacobian_determinants` yields them.

    References
    ----------
    Chan, Golub, LeVeque, The American Statistician 37, 1983: variances of parts, merged.
    """
    voxels = unfolded = 0
    mean = squares = 0.0
    for part in determinants:
        logs = np.log(part[part > 0], dtype=float)
        voxels += part.size
        if logs.size:
            known, unfolded = unfolded, unfolded + logs.size
            change = logs.mean() - mean
            mean += change * logs.size / unfolded
            squares += logs.var() * logs.size + change**2 * known * logs.size / unfolded
    sd = math.sqrt(squares / unfolded) if unfolded else math.nan
    return (voxels - unfolded) / voxels, sd


def landmark_errors(
    transform: Any, fixed_points: npt.ArrayLike, moving_points: npt.ArrayLike
) -> Array:
    """Return the landmark errors of a transform.

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
    """Return the inverse consistency errors of points of fixed space, mm, shape (N,).

    Parameters
    ----------
    fixed_to_moving, moving_to_fixed : itk.Transform
        Transforms that should undo each other.
    points : array, shape (N, D)
        Physical points of fixed space, mm.
    """
    return landmark_errors(moving_to_fixed, transform_points(fixed_to_moving, points), points)


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
        Label to Dice in [0, 1], for each label of either image. What maps outside the moving
        image is background. In large images the transform is sampled, see
        :func:`itk_nephi.spatial.maps.sampled_transform`.

    Raises
    ------
    ValueError
        If there are labels that are not whole numbers.
    """
    check_labels(fixed_labels, "fixed_labels")
    check_labels(moving_labels, "moving_labels")
    quick = sampled_transform(fixed_to_moving, fixed_labels)
    warped_labels = resample(moving_labels, [quick], fixed_labels, interpolation="nearest")
    fixed, warped, moving = map(itk.asarray, (fixed_labels, warped_labels, moving_labels))
    in_fixed, in_moving, in_warped, in_both = (
        dict(zip(*(found.tolist() for found in np.unique(values, return_counts=True)), strict=True))
        for values in (fixed, moving, warped, fixed[fixed == warped])
    )
    return {
        int(label): 2 * in_both.get(label, 0) / max(count, 1)
        for label in sorted({*in_fixed, *in_moving} - {0})
        for count in [in_fixed.get(label, 0) + in_warped.get(label, 0)]
    }


def normalized_cross_correlation(
    fixed: npt.ArrayLike, warped: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> float:
    """Return the correlation of two images' intensities, in [-1, 1].

    NaN where one is constant but for rounding.

    Parameters
    ----------
    fixed, warped : itk.Image or array
        On the same grid.
    mask : itk.Image or array, optional
        On the same grid; non-zero where to look.

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
    ranges = [IntensityRange(float(each.min()), float(each.max())) for each in (first, second)]
    if any(each.is_rounding(first.dtype) for each in ranges):
        return math.nan
    first, second = first - first.mean(), second - second.mean()
    # not as products of matrices, whose last digits change with the number of threads
    norm = np.sqrt((first * first).sum() * (second * second).sum())
    return float((first * second).sum() / norm) if norm > 0 else math.nan


def _masked(name: str, values: npt.ArrayLike, mask: npt.ArrayLike | None) -> Array:
    return np.concatenate([part.astype(float) for part in masked_parts(name, values, mask)])


def masked_parts(
    name: str, values: npt.ArrayLike, mask: npt.ArrayLike | None
) -> Iterator[npt.NDArray[Any]]:
    """Yield the values where a mask is non-zero, of ``POINTS_AT_ONCE`` voxels at a time."""
    array = itk.asarray(values)
    chosen = np.ones(array.shape, bool) if mask is None else itk.asarray(mask) != 0
    if chosen.shape != array.shape:
        raise ValueError(
            f"expected a mask on the grid of {name}, {array.shape}, got {chosen.shape}"
        )
    if not chosen.any():
        raise ValueError("expected a mask with non-zero voxels, got an empty one")
    flat, chosen = array.reshape(-1), chosen.reshape(-1)
    for start in range(0, flat.size, POINTS_AT_ONCE):
        part = slice(start, start + POINTS_AT_ONCE)
        yield flat[part][chosen[part]]
