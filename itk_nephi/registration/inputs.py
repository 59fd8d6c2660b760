"""What users give, converted: images and masks to those of ITK, a device to that of torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch
from itk.support.helpers import accept_array_like_xarray_torch, is_arraylike

from itk_nephi.io.errors import plain_errors
from itk_nephi.io.images import read_image
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, ImageDomain, Transform, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.preparation import checked_domain

SIZE_RATIO = 5.0
"""How many times as long as the other's an image's longest edge is without a finding."""

MOVING = ("moving", "moving_mask")
"""What users call the moving image and its mask where there is one of each."""

UNWRAPPED = {
    **dict.fromkeys(("bool", "float16", "int64", np.dtype("longdouble").name), "float64"),
    "int8": "int16",
}
"""Of which numbers ITK's Python has no images, and what is taken instead."""


def pair_from(
    fixed: Any,
    moving: Any,
    fixed_mask: Any,
    moving_mask: Any,
    *,
    channel_weights: Sequence[float] | None = None,
    guide_landmarks: Sequence[Any] | None = None,
    initial_transform: Transform | str | None,
    names: tuple[str, str] = MOVING,
) -> ImagePair:
    """Return an image pair of what stands for its images and masks.

    Parameters
    ----------
    fixed, moving
        As :func:`images_from` takes them.
    fixed_mask, moving_mask
        As :func:`mask_from` takes them.
    channel_weights, guide_landmarks, initial_transform
        As :class:`ImagePair` has them, but any sequences.
    names : (str, str)
        The user's words for the moving image and its mask.

    Raises
    ------
    TypeError, ValueError
        If something is not what it should be.
    """
    if channel_weights is not None and not hasattr(channel_weights, "__iter__"):
        raise TypeError(f"expected channel_weights as a list of numbers, got {channel_weights!r}")
    fixed, moving = images_from(fixed, "fixed"), images_from(moving, names[0])
    dimensions = [images[0].GetImageDimension() for images in (fixed, moving)]
    if dimensions[1] != dimensions[0]:
        raise ValueError(
            f"expected {names[0]} in {dimensions[0]} dimensions like fixed, got {dimensions[1]}"
        )
    return ImagePair(
        fixed=fixed,
        moving=moving,
        channel_weights=None if channel_weights is None else tuple(map(float, channel_weights)),
        fixed_mask=mask_from(fixed_mask, "fixed_mask", fixed[0]),
        moving_mask=mask_from(moving_mask, names[1], moving[0]),
        initial_transform=initial_transform,
        guide_landmarks=None if guide_landmarks is None else tuple(guide_landmarks),
    )


def images_from(given: Any, name: str) -> tuple[Image, ...]:
    """Return the images of a subject, of one image or a list, each as :func:`image_from` does."""
    if not isinstance(given, (list, tuple)):
        return (image_from(given, name),)
    if not given:
        raise ValueError(f"expected {name} to be one or more images, got none")
    if len(given) == 1:
        return (image_from(given[0], name),)
    return tuple(image_from(image, f"{name}[{n}]") for n, image in enumerate(given))


def image_from(given: Any, name: str) -> Image:
    """Return an image as ITK has it.

    Parameters
    ----------
    given : itk.Image, filter, path, or array
        Arrays as ITK's functions take them: of shape (k, j, i) from numpy and (1, k, j, i) from
        torch, with a spacing of 1 mm; from xarray with its own grid.
    name : str
        The user's word for it.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it has not 2 or 3 dimensions, or cannot be read.
    """
    if isinstance(given, (str, os.PathLike)):
        return read_image(Path(given), name)
    image = itk.output(given)
    if not isinstance(image, itk.Object) and is_arraylike(image):
        image = _image_from_array(wrapped_array(image, name), name)
    if not hasattr(image, "GetLargestPossibleRegion"):
        raise TypeError(
            f"expected {name} to be an itk.Image, a filter, a path or an array, got "
            f"{type(image).__name__}"
        )
    image.Update()
    checked_domain(image, name)
    return image


def array_from_tensor(given: Any, name: str) -> Any:
    """Return a tensor of shape (1, k, j, i) as an array without its channel; all else as it is."""
    if not isinstance(given, torch.Tensor):
        return given
    if given.ndim not in (3, 4) or len(given) != 1:
        raise ValueError(
            f"expected {name} as a tensor of shape (1, k, j, i) or (1, j, i), got "
            f"{tuple(given.shape)}"
        )
    return given.numpy(force=True)[0]


def wrapped_array(given: Any, name: str) -> Any:
    """Return an array or tensor as an array of which ITK makes an image; all else as it is."""
    array = array_from_tensor(given, name)
    if isinstance(array, itk.Object) or not is_arraylike(array):
        return array
    if not hasattr(array, "dims"):  # those of xarray have a grid
        array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected {name} of real numbers, got an array of {array.dtype}")
    # ITK would take the axes of an array in the order of Fortran the other way round
    kind = np.dtype(UNWRAPPED.get(array.dtype.name, array.dtype)).newbyteorder("=")
    return array.astype(kind, order="C", copy=False)


def _image_from_array(array: Any, name: str) -> Image:
    if array.ndim not in (2, 3):
        raise ValueError(f"expected {name} of shape (k, j, i) or (j, i), got {array.shape}")
    images: list[Image] = []
    with plain_errors(f"expected {name} as an array whose grid ITK can read"):
        accept_array_like_xarray_torch(images.append)(array)
    return images[0]


def mask_from(given: Any, name: str, image: Image) -> Image | None:
    """Return a mask as ITK has it, or None where there is none.

    Parameters
    ----------
    given : itk.Image, filter, path, itk.SpatialObject, array or None
        A spatial object is drawn on the grid of the image, an array lies on it; one from xarray
        has its own grid.
    name : str
        The user's word for it.
    image : itk.Image
        The image that it belongs to.

    Raises
    ------
    TypeError, ValueError
        As :func:`image_from`, or if an array or a spatial object does not fit the image.
    """
    if given is None:
        return None
    if hasattr(given, "IsInsideInWorldSpace"):
        return _drawn(given, name, image)
    if isinstance(given, itk.Object) or not is_arraylike(given) or hasattr(given, "dims"):
        return image_from(given, name)
    values = np.asarray(array_from_tensor(given, name))
    expected = itk.array_view_from_image(image).shape
    if values.shape != expected:
        raise ValueError(
            f"expected {name} of the shape of its image, {expected}, got {values.shape}"
        )
    soft = values.dtype.kind == "f"
    return image_like(image, values.astype(np.float32) if soft else (values != 0).astype(np.uint8))


def _drawn(spatial_object: Any, name: str, image: Image) -> Image:
    """Return a spatial object drawn on the grid of an image: 1 inside, 0 outside."""
    domain = ImageDomain.of(image)
    dimension = domain.dimension
    if not isinstance(spatial_object, itk.SpatialObject[dimension]):
        raise ValueError(
            f"expected {name} in {dimension} dimensions, got an {type(spatial_object).__name__}"
        )
    drawing = itk.SpatialObjectToImageFilter[
        itk.SpatialObject[dimension], itk.Image[itk.UC, dimension]
    ].New(spatial_object, inside_value=1, outside_value=0)
    drawing.SetSize(domain.size)
    drawing.SetSpacing(domain.spacing)
    drawing.SetOrigin(domain.origin)
    drawing.SetDirection(itk.matrix_from_array(np.array(domain.direction)))
    drawing.Update()
    return drawing.GetOutput()


def checked_device(device: str) -> torch.device:
    """Check and return a device that torch can use."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"expected device to be cpu, or cuda where there is a GPU, got {device!r}: {reason}"
        ) from None
    return found


def checked_seed(seed: int) -> int:
    """Check and return a seed of which torch makes random numbers."""
    if not -(2**63) <= index(seed) < 2**64:
        raise ValueError(f"expected a seed from -2^63 to 2^64 - 1, got {seed}")
    return index(seed)


def size_findings(pair: ImagePair, name: str = MOVING[0]) -> list[str]:
    """Report an image that is so much larger than the other that the units are in doubt.

    The moving image has a name, the user's word for it.
    """
    fixed, moving = (ImageDomain.of(image) for image in (pair.fixed_image, pair.moving_image))
    if 1 / SIZE_RATIO <= fixed.scale / moving.scale <= SIZE_RATIO:
        return []
    sizes = [" x ".join(f"{2 * e:.3g}" for e in domain.half_extent) for domain in (fixed, moving)]
    return [
        f"fixed and {name} differ much in size, {sizes[0]} mm and {sizes[1]} mm: is the spacing "
        "of both in mm?"
    ]
