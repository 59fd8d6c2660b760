"""What register() is given beside masks: checked, in plain words, and made ready."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from itk_nephi.losses.objective import LandmarkPairs
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.preparation import checked_image
from itk_nephi.spatial.transforms import transform_points

SIZE_RATIO = 5.0
"""How many times as long as the other's an image's longest edge is without a warning."""


def checked_device(device: str) -> torch.device:
    """Return a device that torch can use, or say what is wrong."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"expected device to be cpu, or cuda where torch finds a GPU, got {device!r}: {reason}"
        ) from None
    return found


def checked_images(images: Sequence[Any], name: str, voxels: float = np.inf) -> list[Any]:
    """Return the images of a subject in canonical order, or say what is wrong.

    Parameters
    ----------
    images : sequence of itk.Image
        Scalar images of any pixel type, on one grid.
    name : str
        The user's word for them.
    voxels : float
        Larger ones are averaged, see :func:`itk_nephi.spatial.preparation.bin_image`.

    Raises
    ------
    TypeError
        If one is not an ITK image, or its pixels are not scalars.
    ValueError
        If there is none, they lie on different grids, or one has nothing to be compared.
    """
    if not images:
        raise ValueError(f"expected {name} to be one or more images, got none")
    if len(images) == 1:
        return [checked_image(images[0], name, voxels)]
    checked = [checked_image(image, f"{name}[{n}]", voxels) for n, image in enumerate(images)]
    first = ImageDomain.of(checked[0])
    for n, image in enumerate(checked):
        domain = ImageDomain.of(image)
        if domain.dimension != first.dimension or not domain.matches(first):
            raise ValueError(
                f"expected all images of {name} on the same grid, got {name}[{n}] on another than "
                f"{name}[0]"
            )
    return checked


def checked_weights(
    weights: Sequence[float] | None, fixed_count: int, moving_count: int
) -> tuple[float, ...]:
    """Return a weight of each pair of images, 1 where there are none, or say what is wrong."""
    if fixed_count != moving_count:
        raise ValueError(
            f"expected as many moving as fixed images, got {moving_count} and {fixed_count}"
        )
    checked = (1.0,) * fixed_count if weights is None else tuple(float(w) for w in weights)
    if len(checked) != fixed_count or not all(0 < w < np.inf for w in checked):
        raise ValueError(
            "expected channel_weights to be a number of more than 0 for each image of a subject, "
            f"{fixed_count} in all, got {checked}"
        )
    return checked


def warn_of_sizes(fixed: ImageDomain, moving: ImageDomain) -> None:
    """Warn when one image is so much larger than the other that the units are in doubt."""
    sizes = [" x ".join(f"{2 * e:.3g}" for e in domain.half_extent) for domain in (fixed, moving)]
    if not 1 / SIZE_RATIO <= fixed.scale / moving.scale <= SIZE_RATIO:
        warnings.warn(
            f"fixed and moving differ much in size, {sizes[0]} mm and {sizes[1]} mm: is the "
            "spacing of both in mm?",
            stacklevel=3,
        )


def landmark_pairs(
    guide_landmarks: Sequence[Any],
    domain: ImageDomain,
    moving_to_fixed: Any,
    scale: float,
    device: torch.device,
) -> LandmarkPairs:
    """Check pairs of points and bring them to coords.

    Parameters
    ----------
    guide_landmarks : (fixed_points, moving_points) or (fixed_points, moving_points, weights)
        Shape (N, D), mm, and shape (N,).
    domain : ImageDomain
        Of the fixed image.
    moving_to_fixed : itk.Transform
        The inverse of the initial transform.
    scale : float
        Up to which distance a pair counts about quadratically, mm.
    device : torch.device
        Where to keep them.

    Raises
    ------
    ValueError
        If a shape or a number is not what it should be.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in guide_landmarks]
    if len(arrays) not in (2, 3):
        raise ValueError(
            "expected guide_landmarks to be fixed points, moving points and perhaps weights, got "
            f"{len(arrays)} arrays"
        )
    count = len(arrays[0]) if arrays[0].ndim else 0
    weights = arrays[2] if len(arrays) == 3 else np.ones(count)
    expected = (count, domain.dimension)
    if not count or arrays[0].shape != expected or arrays[1].shape != expected:
        raise ValueError(
            f"expected guide_landmarks of shape (N, {domain.dimension}) in both images, got "
            f"{arrays[0].shape} and {arrays[1].shape}"
        )
    if weights.shape != (count,) or not (weights >= 0).all() or not weights.sum() > 0:
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
