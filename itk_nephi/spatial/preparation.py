"""Images and masks: checked, in canonical order, averaged over blocks where they are too large."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import (
    Image,
    ImageDomain,
    canonical_order,
    difference,
    image_from_array,
)
from itk_nephi.spatial.intensities import IntensityRange, fill_outside

MASK_TOLERANCE = 1e-3
"""How far rounding may have led the weights of a mask out of [0, 1]."""


def checked_image(
    image: Any,
    name: str,
    voxels: float = np.inf,
    inside: npt.NDArray[np.bool_] | None = None,
    intensities: IntensityRange | None = None,
) -> Any:
    """Check a scalar image and return it as ``itk.Image[itk.F, D]`` in canonical order.

    Parameters
    ----------
    image : itk.Image
        Any scalar pixel type, 2 or 3 dimensions.
    name : str
        The user's word for it.
    voxels : float
        A larger image is averaged, see :func:`itk_nephi.spatial.preparation.bin_image`.
    inside : array of bool, shape (k, j, i), optional
        Its mask, in the order of the image. What lies outside is not looked at, and replaced by
        what is near inside.
    intensities : IntensityRange, optional
        What decides on outliers, and on the scale of extreme intensities; those of the image when
        left out.

    Raises
    ------
    TypeError
        If it is not an ITK image or its pixels are not scalars.
    ValueError
        If it has another number of dimensions, or its voxels are all the same or not all finite.
    """
    domain = checked_domain(image, name)
    values = itk.array_view_from_image(image)
    if intensities is None:
        intensities = intensity_range(image, name, inside)
    ordered = canonical_order(values, domain)
    if inside is None:
        averaged, grid = bin_image(ordered, domain.canonical(), voxels)
        return image_from_array(intensities.scaled(averaged), grid)
    chosen = canonical_order(inside, domain)
    known = np.where(chosen, ordered, ordered.dtype.type(0))
    averaged, grid = bin_image(known, domain.canonical(), voxels)
    if averaged is not known:
        shares, _ = bin_image(chosen, domain.canonical(), voxels)
        chosen = shares > 0
        averaged = np.divide(averaged, shares, out=averaged, where=chosen)
    return image_from_array(fill_outside(intensities.scaled(averaged), chosen), grid)


def intensity_range(
    image: Any, name: str, inside: npt.NDArray[np.bool_] | None = None
) -> IntensityRange:
    """Check the intensities of an image and return their range; arguments and errors as above."""
    check_scalar(image, name)
    values = itk.array_view_from_image(image)
    where = "" if inside is None else " inside its mask"
    # by planes, so that large images take no more memory than they have
    masks = [True] * len(values) if inside is None else inside
    count = sum(
        int((~np.isfinite(plane) & mask).sum()) for plane, mask in zip(values, masks, strict=True)
    )
    if count:
        raise ValueError(f"expected {name} to be finite{where}, got {count} NaN or infinite voxels")
    found = IntensityRange.of(values, inside)
    if found.is_rounding(values.dtype):
        raise ValueError(
            f"expected {name} to have contrast{where}, got {found.low:g} in every voxel"
            + " but for rounding" * (found.low < found.high)
        )
    return found


def mask_inside(mask: Image, name: str) -> npt.NDArray[np.bool_]:
    """Return where a mask is non-zero, shape (k, j, i).

    Raises
    ------
    TypeError
        If its pixels are not scalars.
    ValueError
        If it is not finite, or empty.
    """
    check_scalar(mask, name)
    values = itk.array_view_from_image(mask)
    count = values.size - int(np.isfinite(values).sum())
    if count:
        raise ValueError(f"expected {name} to be finite, got {count} NaN or infinite voxels")
    is_whole = values.dtype.kind in "iub"
    inside = values != 0 if is_whole else np.abs(values) > MASK_TOLERANCE
    if not inside.any():
        raise ValueError(f"expected {name} to have non-zero voxels, got an empty mask")
    return np.asarray(inside)


def checked_mask(mask: Any, name: str, image: Any, image_name: str, voxels: float = np.inf) -> Any:
    """Check a mask and return it as 0 and 1, or a soft one as 0 to 1, in canonical order.

    Parameters
    ----------
    mask : itk.Image
        Non-zero inside; on the grid of ``image``. Float values between 0 and 1 are weights.
    name, image_name : str
        The user's words for them.
    image : itk.Image
        The image that it belongs to.
    voxels : float
        A larger mask is averaged, and then soft at its border, see
        :func:`itk_nephi.spatial.preparation.bin_image`.

    Returns
    -------
    itk.Image[itk.UC, D] or, if it is soft, itk.Image[itk.F, D]

    Raises
    ------
    TypeError
        If it is not an ITK image, or its pixels are not scalars.
    ValueError
        If it is empty, not finite, lies on another grid than its image, is soft and not from 0 to
        1, to a thousandth, or is empty once it is averaged.
    """
    domain = check_grid(mask, name, image, image_name)
    inside, values = mask_inside(mask, name), itk.array_view_from_image(mask)
    is_float = values.dtype.kind == "f"
    if is_float and ((values > MASK_TOLERANCE) & (values < 1 - MASK_TOLERANCE)).any():
        if not (values.min() >= -MASK_TOLERANCE and values.max() <= 1 + MASK_TOLERANCE):
            raise ValueError(
                f"expected {name} to be from 0 to 1 where it is soft, got {values.min()} to "
                f"{values.max()}"
            )
        checked = _in_canonical_order(np.clip(values, 0, 1), domain, voxels, np.float32)
    else:
        checked = _in_canonical_order(inside, domain, voxels, np.uint8)
    if not itk.array_view_from_image(checked).any():
        raise ValueError(
            f"expected {name} to have non-zero voxels where it is averaged, got some only at the "
            f"far ends of {domain.size} voxels, which are left out: use larger working_voxels"
        )
    return checked


def check_labels(labels: Image, name: str) -> None:
    """Check that a label image has finite whole numbers; ``name`` is the user's word for it.

    Raises
    ------
    ValueError
        If it has others.
    """
    values = itk.array_view_from_image(labels)
    if values.dtype.kind in "iub":
        return
    for plane in values:
        others = plane[~np.isfinite(plane) | (plane != np.rint(plane))]
        if others.size:
            raise ValueError(f"expected {name} to have whole numbers, got {others[0]:g}")


def check_grid(image: Image, name: str, reference: Image, reference_name: str) -> ImageDomain:
    """Check that an image is on the grid of a reference, and return its domain."""
    domain, expected = checked_domain(image, name), ImageDomain.of(reference)
    if domain.dimension != expected.dimension or not domain.matches(expected):
        raise ValueError(
            f"expected {name} to lie on the grid of {reference_name}, got another: "
            f"{difference(domain, expected)}"
        )
    return domain


def check_scalar(image: Any, name: str) -> ImageDomain:
    """Check that an image has scalar pixels, and return its domain."""
    domain = checked_domain(image, name)
    if itk.array_view_from_image(image).ndim != domain.dimension:
        raise TypeError(
            f"expected {name} to have scalar pixels, got {image.GetNumberOfComponentsPerPixel()} "
            "components a pixel"
        )
    return domain


def checked_domain(image: Any, name: str) -> ImageDomain:
    """Check an image and return its domain; messages call it by its name."""
    if not hasattr(image, "GetLargestPossibleRegion"):
        raise TypeError(f"expected {name} to be an itk.Image, got {type(image).__name__}")
    try:
        return ImageDomain.of(image)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _in_canonical_order(
    values: npt.NDArray[Any], domain: ImageDomain, voxels: float, kind: npt.DTypeLike
) -> Any:
    ordered = canonical_order(values, domain)
    averaged, domain = bin_image(ordered, domain.canonical(), voxels)
    return image_from_array(averaged.astype(kind) if averaged is ordered else averaged, domain)


def block_size(domain: ImageDomain, voxels: float) -> tuple[int, ...]:
    """Return how many voxels along each axis to average, so that few enough blocks are left.

    The axis along which the blocks are shortest in mm grows first.

    Parameters
    ----------
    domain : ImageDomain
        The voxels.
    voxels : float
        How many blocks there may be, at least 2 along each axis.
    """
    block = [1] * domain.dimension
    while math.prod(n // b for n, b in zip(domain.size, block, strict=True)) > voxels:
        lengths = [
            spacing * b if n // (b + 1) >= 2 else math.inf
            for n, spacing, b in zip(domain.size, domain.spacing, block, strict=True)
        ]
        if min(lengths) == math.inf:
            break
        block[lengths.index(min(lengths))] += 1
    return tuple(block)


def bin_image(
    values: npt.NDArray[Any], domain: ImageDomain, voxels: float
) -> tuple[npt.NDArray[Any], ImageDomain]:
    """Average an image over blocks of voxels where it has too many; else leave it as it is.

    Voxels at the far ends that do not fill a block are left out. It takes no more memory than the
    result and a plane of blocks.

    Parameters
    ----------
    values : array, shape (k, j, i)
        Real numbers.
    domain : ImageDomain
        Where they are.
    voxels : float
        How many voxels there may be.

    Returns
    -------
    values : array, shape (k, j, i)
        Single precision where they were averaged.
    domain : ImageDomain
        Where these are.
    """
    block = block_size(domain, voxels)
    if max(block) == 1:
        return values, domain
    size = tuple(n // b for n, b in zip(domain.size, block, strict=True))
    others = [slice(n * b) for n, b in zip(size[-2::-1], block[-2::-1], strict=True)]
    averages = np.empty(size[::-1], np.float32)
    split = [n for pair in zip(size[::-1], block[::-1], strict=True) for n in pair]
    for row, average in enumerate(averages):
        start = row * block[-1]
        plane = values[(slice(start, start + block[-1]), *others)].reshape(1, *split[1:])
        average[...] = plane.mean(axis=tuple(range(1, len(split), 2)), dtype=np.float64)[0]
    middle = [(b - 1) / 2 for b in block]
    return averages, replace(
        domain,
        size=size,
        spacing=tuple(s * b for s, b in zip(domain.spacing, block, strict=True)),
        origin=tuple(domain.points_from_index(middle).tolist()),
    )
