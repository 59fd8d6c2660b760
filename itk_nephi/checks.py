"""Images and masks that users hand in: checked, in canonical order, and not too large."""

from __future__ import annotations

from typing import Any

import itk
import numpy as np
import numpy.typing as npt

from itk_nephi.binning import binned
from itk_nephi.domain import ImageDomain, canonical_order, described, image_from_array


def checked_image(image: Any, name: str, voxels: float = np.inf) -> Any:
    """Return a scalar image as ``itk.Image[itk.F, D]`` in canonical order, or say what is wrong.

    Parameters
    ----------
    image : itk.Image
        Any scalar pixel type, 2 or 3 dimensions.
    name : str
        The user's word for it.
    voxels : float
        A larger image is averaged, see :func:`itk_nephi.binning.binned`.

    Raises
    ------
    TypeError
        If it is not an ITK image or its pixels are not scalars.
    ValueError
        If it has another number of dimensions, or its voxels are all the same or not all finite.
    """
    domain = _checked_domain(image, name)
    values = np.asarray(itk.array_view_from_image(image))
    if values.ndim != domain.dimension:
        raise TypeError(
            f"expected {name} to have scalar pixels, got {image.GetNumberOfComponentsPerPixel()} "
            "components a pixel"
        )
    # by planes, so that large images take no more memory than they have
    count = values.size - sum(int(np.isfinite(plane).sum()) for plane in values)
    if count:
        raise ValueError(f"expected {name} to be finite, got {count} NaN or infinite voxels")
    if values.min() == values.max():
        raise ValueError(f"expected {name} to have contrast, got {values.min()} in every voxel")
    return _in_canonical_order(values, domain, voxels, np.float32)


def checked_mask(mask: Any, name: str, image: Any, image_name: str, voxels: float = np.inf) -> Any:
    """Return a mask as an image of 0 and 1, or a soft one of 0 to 1, in canonical order.

    Parameters
    ----------
    mask : itk.Image
        Not zero where to look; on the grid of ``image``. Float values between 0 and 1 say how much
        to look.
    name, image_name : str
        The user's words for them.
    image : itk.Image
        The image that it belongs to.
    voxels : float
        A larger mask is averaged, and then soft at its border, see
        :func:`itk_nephi.binning.binned`.

    Returns
    -------
    itk.Image[itk.UC, D] or, if it is soft, itk.Image[itk.F, D]

    Raises
    ------
    TypeError
        If it is not an ITK image.
    ValueError
        If it is empty, lies on another grid than its image, or is soft and not from 0 to 1.
    """
    domain = _checked_domain(mask, name)
    expected = ImageDomain.of(image)
    if domain.dimension != expected.dimension or not domain.matches(expected):
        raise ValueError(
            f"expected {name} to lie on the grid of {image_name}, {described(expected)}; "
            f"got {described(domain)}"
        )
    values = np.asarray(itk.array_view_from_image(mask))
    inside = values != 0
    if not inside.any():
        raise ValueError(f"expected {name} to have voxels that are not zero, got an empty mask")
    if ((values > 0) & (values < 1)).any():
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"expected {name} to be from 0 to 1 where it is soft, got {values.min()} to "
                f"{values.max()}"
            )
        return _in_canonical_order(values, domain, voxels, np.float32)
    return _in_canonical_order(inside, domain, voxels, np.uint8)


def _checked_domain(image: Any, name: str) -> ImageDomain:
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
    averaged, domain = binned(ordered, domain.canonical(), voxels)
    return image_from_array(averaged.astype(kind) if averaged is ordered else averaged, domain)
