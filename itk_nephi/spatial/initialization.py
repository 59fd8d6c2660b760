"""The kinds of initial transform, and those that take no search: identity, centers, moments."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain

TRANSLATIONS = ("identity", "geometry", "moments")
"""Kinds that :func:`compute_translation` takes from where the images lie."""

ALIGNMENTS = ("translation", "rigid", "similarity", "affine")
"""Kinds that :func:`itk_nephi.alignment.align` searches for, by growing degrees of freedom."""

InitialTransformKind = Literal[
    "identity", "geometry", "moments", "translation", "rigid", "similarity", "affine"
]

KINDS: tuple[InitialTransformKind, ...] = get_args(InitialTransformKind)


def compute_translation(
    kind: str, fixed: Any, moving: Any, fixed_mask: Any = None, moving_mask: Any = None
) -> Any:
    """Compute a translation that brings two images together without comparing them.

    Parameters
    ----------
    kind : {"identity", "geometry", "moments"}
        Nothing; the centers of the images; or the centroids, of the masks where both are given,
        else of the intensities.
    fixed, moving : itk.Image
        Scalar images in 2 or 3 dimensions.
    fixed_mask, moving_mask : itk.Image, optional
        Non-zero inside.

    Returns
    -------
    itk.TranslationTransform
        From points of fixed space to points of moving space.

    Raises
    ------
    ValueError
        If there is no centroid: what it is of is not finite, a mask is empty, or the intensities
        are all the same.
    """
    offset = np.zeros(fixed.GetImageDimension())
    if kind == "geometry":
        offset = ImageDomain.of(moving).center - ImageDomain.of(fixed).center
    elif kind == "moments":
        masks = (
            (None, None) if fixed_mask is None or moving_mask is None else (fixed_mask, moving_mask)
        )
        ends = _centroid(moving, masks[1], "moving"), _centroid(fixed, masks[0], "fixed")
        offset = ends[0] - ends[1]
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset([float(x) for x in offset])
    return transform


def _centroid(image: Any, mask: Any, name: str) -> Array:
    """Return the physical point around which a mask, or else the intensity, is balanced, mm."""
    values = itk.array_view_from_image(image if mask is None else mask).astype(np.float64)
    what = name if mask is None else f"{name}_mask"
    if not np.isfinite(values).all():
        raise ValueError(f"expected {what} to be finite, got NaN or infinite voxels")
    weights = values - values.min() if mask is None else (values != 0).astype(np.float64)
    if not weights.any():
        raise ValueError(
            f"expected {what} to have a centroid, got {values.flat[0]:g} in all voxels"
        )
    axes = range(values.ndim)
    index = [
        np.average(np.arange(n), weights=weights.sum(tuple(a for a in axes if a != axis)))
        for axis, n in enumerate(values.shape)
    ]
    return ImageDomain.of(image).points_from_index(index[::-1])
