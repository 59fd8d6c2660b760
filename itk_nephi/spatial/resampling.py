"""Images of any pixel type, resampled through transforms or sampled at points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import (
    Array,
    Image,
    ImageDomain,
    Transform,
    image_from_array,
    image_like,
)
from itk_nephi.spatial.transforms import compose, transform_points

RESAMPLED = ("uint8", "int16", "uint16", "float32", "float64")
"""The types that ``itk.ResampleImageFilter`` resamples in Python."""

FEW = 2**18
"""Voxels that are sampled in less time than it takes to load this filter."""


def resample(
    moving: Any,
    transforms: Sequence[Any],
    reference: Any,
    *,
    interpolation: str = "linear",
    outside: float = 0.0,
) -> Any:
    """Resample an image of any pixel type as ``itk.resample_image_filter`` does.

    Parameters
    ----------
    moving : itk.Image
        What to resample.
    transforms : sequence of itk.Transform
        From reference to moving space; a point goes through the first one first.
    reference : itk.Image
        Gives the grid.
    interpolation : {"linear", "nearest", "bspline"}
        How values between voxels are found.
    outside : float
        The value outside the moving image.

    Returns
    -------
    itk.Image
        Of the pixel type of ``moving``.

    Raises
    ------
    ValueError
        If ``outside`` is not a value of this type, or a value is not finite with ``bspline``.
    """
    values, chain = itk.array_view_from_image(moving), compose(transforms)
    _check_outside(outside, values.dtype)
    if values.dtype.name in RESAMPLED:
        return _resample(moving, chain, reference, interpolation, outside)
    resampled = resample_array(
        values,
        ImageDomain.of(moving),
        chain,
        reference,
        interpolation=interpolation,
        outside=outside,
    )
    return image_like(reference, resampled)


def resample_array(
    values: npt.NDArray[Any],
    domain: ImageDomain,
    transform: Transform,
    reference: Image,
    *,
    interpolation: str = "linear",
    outside: float = 0.0,
) -> npt.NDArray[Any]:
    """Resample voxels of any type, also of those that ITK's Python has no images of.

    Parameters
    ----------
    values : array, shape (k, j, i)
        The voxels.
    domain : ImageDomain
        Their grid.
    transform : itk.Transform
        From reference to moving space.
    reference, interpolation, outside
        As for :func:`resample`.

    Returns
    -------
    array, shape (k, j, i)
        Of the same type; the nearest values are exact.

    Raises
    ------
    ValueError
        If ``outside`` is not a value of this type.
    """
    kind = values.dtype
    _check_outside(outside, kind)
    if kind.name in RESAMPLED:
        image = image_from_array(values, domain)
        return itk.array_view_from_image(
            _resample(image, transform, reference, interpolation, outside)
        )
    if interpolation == "nearest":
        numbers = np.arange(values.size, dtype=np.float64).reshape(values.shape)
        image = image_from_array(numbers, domain)
        chosen = itk.array_view_from_image(
            _resample(image, transform, reference, interpolation, -1.0)
        )
        nearest = values.reshape(-1)[chosen.astype(np.int64)]
        return np.where(chosen < 0, kind.type(outside), nearest)
    image = image_from_array(values.astype(np.float64), domain)
    found = itk.array_view_from_image(
        _resample(image, transform, reference, interpolation, outside)
    )
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        highest = float(limits.max)
        if highest > limits.max:  # of 64 bits, rounded
            highest = np.nextafter(highest, 0.0)
        found = np.clip(np.rint(found), limits.min, highest)
    return found.astype(kind)


def resample_frames(
    values: npt.NDArray[Any],
    domain: ImageDomain,
    transform: Transform,
    reference: Image,
    **how: Any,
) -> npt.NDArray[Any]:
    """Resample a series frame by frame, and colors and vectors component by component.

    Parameters
    ----------
    values : array, shape (T, k, j, i, C)
        The voxels of T frames, of C components.
    domain, transform, reference, **how
        As for :func:`resample_array`.
    """
    return np.stack(
        [
            np.stack(
                [
                    resample_array(part, domain, transform, reference, **how)
                    for part in np.moveaxis(frame, -1, 0)
                ],
                axis=-1,
            )
            for frame in values
        ]
    )


def _check_outside(outside: float, kind: np.dtype[Any]) -> None:
    if kind.kind not in "iu":
        return
    limits = np.iinfo(kind)
    if not (limits.min <= outside <= limits.max and outside == int(outside)):
        raise ValueError(
            f"expected outside to be a value of the moving image's pixel type, {kind}, got "
            f"{outside:g}"
        )


def _resample(
    image: Image, transform: Transform, reference: Image, interpolation: str, outside: float
) -> Image:
    values, grid = itk.array_view_from_image(image), ImageDomain.of(reference)
    if interpolation == "bspline" and not np.isfinite(values).all():
        raise ValueError(
            "expected finite values for interpolation bspline, which carries others to all voxels"
        )
    if interpolation != "bspline" and np.prod(grid.size) <= FEW:
        points = transform_points(transform, grid.grid_points().reshape(-1, grid.dimension))
        sample = sample_image if interpolation == "linear" else _nearest
        inside = ImageDomain.of(image).contains(points)
        # to integers as ITK does: without their decimals
        sampled = np.where(inside, sample(image, points), outside).astype(values.dtype)
        return image_from_array(sampled.reshape(grid.size[::-1]), grid)
    others = {  # than what the filter does by itself, linear interpolation
        "nearest": itk.NearestNeighborInterpolateImageFunction,
        "bspline": itk.BSplineInterpolateImageFunction,
    }
    chosen = {} if interpolation == "linear" else {"interpolator": others[interpolation].New(image)}
    return itk.resample_image_filter(
        image,
        transform=transform,
        **chosen,
        reference_image=reference,
        use_reference_image=True,
        default_pixel_value=values.dtype.type(outside).item(),
    )


def sample_image(image: Image, points: npt.ArrayLike) -> Array:
    """Interpolate an image linearly at points, as ``itk.LinearInterpolateImageFunction`` does.

    Parameters
    ----------
    image : itk.Image
        Any scalar pixel type.
    points : array, shape (N, D)
        Physical points, mm.

    Returns
    -------
    array, shape (N,)
        NaN outside the image, which ends half a voxel beyond the outermost voxel centers.
    """
    return _interpolated(itk.array_view_from_image(image), ImageDomain.of(image), points)


def sample_inside(image: Image, inside: npt.NDArray[np.bool_], points: npt.ArrayLike) -> Array:
    """Interpolate an image linearly at points, between its voxels inside a mask alone.

    Parameters
    ----------
    image : itk.Image
        Any scalar pixel type; what lies outside the mask is not looked at.
    inside : array of bool, shape (k, j, i)
        The mask.
    points : array, shape (N, D)
        Physical points, mm.

    Returns
    -------
    array, shape (N,)
        The average of the voxels inside, by the weights of linear interpolation; NaN where these
        are less than half of all, and outside the image.
    """
    values, domain = itk.array_view_from_image(image), ImageDomain.of(image)
    known = np.where(inside, values, values.dtype.type(0))
    sums, shares = (_interpolated(each, domain, points) for each in (known, inside))
    average: Array = np.full(sums.shape, np.nan)
    return np.divide(sums, shares, out=average, where=shares >= 0.5)


def _interpolated(values: npt.NDArray[Any], domain: ImageDomain, points: npt.ArrayLike) -> Array:
    inside = domain.contains(points)
    last = np.array(domain.size) - 1
    index = np.clip(domain.index_from_points(np.asarray(points)[inside]), 0, last)
    lower = np.minimum(index.astype(int), last - 1)
    steps = np.cumprod((1, *domain.size[:-1]))
    first = lower @ steps
    voxels = values.ravel()
    corners = [
        voxels.take(first + int(steps @ np.array(corner[::-1]))).astype(np.float64)
        for corner in product((0, 1), repeat=domain.dimension)
    ]
    with np.errstate(invalid="ignore"):
        for fraction in (index - lower).T:  # of the corners, that along x changes first
            pairs = zip(corners[::2], corners[1::2], strict=True)
            # at a voxel its neighbors count nothing, also where they are not finite
            corners = [
                np.where(fraction == 0, low, low + fraction * (high - low)) for low, high in pairs
            ]
    result = np.full(inside.shape, np.nan)
    result[inside] = corners[0]
    return result


def _nearest(image: Image, points: Array) -> npt.NDArray[Any]:
    """Return the voxels, shape (N,), closest to points; beyond the image those at its rim."""
    domain = ImageDomain.of(image)
    index = np.floor(domain.index_from_points(points) + 0.5).astype(int)
    index = np.clip(index, 0, np.array(domain.size) - 1)
    found: npt.NDArray[Any] = itk.array_view_from_image(image)[tuple(index.T[::-1])]
    return found
