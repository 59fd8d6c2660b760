"""Checks of images, weights, the initial transform and landmarks, with clear messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from itk_nephi.alignment.initialization import find_initial_transform
from itk_nephi.losses.objective import LandmarkPairs
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, ImageDomain, Transform
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.intensities import IntensityRange
from itk_nephi.spatial.preparation import check_scalar, checked_image
from itk_nephi.spatial.transforms import flatten, matrix_and_offset, transform_points

FLAT = 1e-9
"""The least length, as a share of the largest, to which a transform may map a unit vector."""


def checked_images(
    images: Sequence[Image],
    name: str,
    voxels: float = np.inf,
    inside: npt.NDArray[np.bool_] | None = None,
    intensities: Sequence[IntensityRange] | None = None,
) -> tuple[Image, ...]:
    """Check the images of a subject and return them in canonical order.

    Parameters
    ----------
    images : sequence of itk.Image
        Scalar images of any pixel type, on one grid.
    name : str
        The user's word for them.
    voxels : float
        Larger ones are averaged, see :func:`itk_nephi.spatial.preparation.bin_image`.
    inside, intensities
        As for :func:`itk_nephi.spatial.preparation.checked_image`, the latter of each image.

    Raises
    ------
    TypeError
        If one is not an ITK image, or its pixels are not scalars.
    ValueError
        If one has no contrast, or is not finite.
    """
    ranges: Sequence[IntensityRange | None] = intensities or [None] * len(images)
    return tuple(
        checked_image(image, word, voxels, inside, found)
        for image, word, found in zip(images, image_names(images, name), ranges, strict=True)
    )


def check_channels(images: Sequence[Image], name: str) -> None:
    """Check that the images of a subject have scalar pixels and lie on one grid.

    Raises
    ------
    TypeError
        If one is not an ITK image, or its pixels are not scalars.
    ValueError
        If they lie on different grids.
    """
    words = image_names(images, name)
    domains = [check_scalar(image, word) for image, word in zip(images, words, strict=True)]
    for word, domain in zip(words, domains, strict=True):
        if domain.dimension != domains[0].dimension or not domain.matches(domains[0]):
            raise ValueError(
                f"expected all images of {name} on the same grid, got {word} on another than "
                f"{words[0]}"
            )


def image_names(images: Sequence[Image], name: str) -> list[str]:
    """Return the user's words for the images of a subject."""
    return [name] if len(images) == 1 else [f"{name}[{n}]" for n in range(len(images))]


def checked_initial_transform(pair: ImagePair) -> tuple[Transform, str]:
    """Return the initial transform of a pair, found where it is a kind or None, and any finding."""
    transform = pair.initial_transform
    if transform is None or isinstance(transform, str):
        kind = transform or "identity"
        return find_initial_transform(
            kind, pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask
        )
    if not isinstance(transform, itk.Transform[itk.D, pair.dimension, pair.dimension]):
        raise TypeError(
            "expected initial_transform to be an itk.Transform of double precision in "
            f"{pair.dimension} dimensions, the name of a kind or None, got "
            f"{type(transform).__name__}"
        )
    parts = flatten(transform)
    if not parts:
        raise ValueError("expected initial_transform to be a transform, got a composite of none")
    for part in parts:
        kind = part.GetNameOfClass()
        if not (part.GetParameters().is_finite() and part.GetFixedParameters().is_finite()):
            raise ValueError(
                f"expected initial_transform to be finite, got a {kind} with NaN or infinity"
            )
        if not part.IsLinear():
            continue
        lengths = np.linalg.svd(matrix_and_offset(part)[0], compute_uv=False)
        if lengths[-1] <= FLAT * lengths[0]:
            raise ValueError(
                f"expected initial_transform to have an inverse, got one with a {kind} of "
                "determinant 0, but for rounding, which maps all points onto a plane"
            )
    return transform, ""


def landmark_pairs(
    guide_landmarks: Sequence[Any],
    domain: ImageDomain,
    moving_to_fixed: Any,
    scale: float,
    device: torch.device,
) -> LandmarkPairs:
    """Bring pairs of points to coords.

    Parameters
    ----------
    guide_landmarks : (fixed_points, moving_points) or (fixed_points, moving_points, weights)
        Shape (N, D), mm, and shape (N,).
    domain : ImageDomain
        Of the fixed image.
    moving_to_fixed : itk.Transform
        The inverse of the initial transform.
    scale : float
        Up to which distance a pair is penalized about quadratically, mm.
    device : torch.device
        Where to keep them.

    Raises
    ------
    ValueError
        If a number is not what it should be.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in guide_landmarks]
    count = len(arrays[0])
    weights = arrays[2] if len(arrays) == 3 else np.ones(count)
    if not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            f"expected a landmark weight of 0 or more for each of {count} pairs, not all 0, got "
            f"{weights}"
        )
    if not all(np.isfinite(values).all() for values in arrays):
        raise ValueError("expected guide_landmarks to be finite, got NaN or infinite numbers")
    coords = [
        domain.coords_from_points(arrays[0]),
        domain.coords_from_points(transform_points(moving_to_fixed, arrays[1])),
    ]
    in_fixed, in_moving = (
        torch.tensor(values, dtype=torch.float32, device=device) for values in coords
    )
    return LandmarkPairs(
        coords=(in_fixed, in_moving),
        weights=torch.tensor(weights, dtype=torch.float32, device=device),
        scale=scale / domain.scale,
    )
