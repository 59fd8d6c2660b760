"""Initial transforms by kind: from where the images lie, or by aligning them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from itk_nephi.alignment.alignment import MIRRORED, UNRELATED, Alignment, find_alignment
from itk_nephi.spatial.initialization import (
    ALIGNMENTS,
    KINDS,
    InitialTransformKind,
    compute_translation,
)


def compute_initial_transform(
    kind: InitialTransformKind,
    fixed: Any,
    moving: Any,
    fixed_mask: Any = None,
    moving_mask: Any = None,
) -> Any:
    """Compute an initial transform of one of the usual kinds.

    Parameters
    ----------
    kind : str
        ``"identity"``; ``"geometry"``, which brings the images' centers together; ``"moments"``,
        which brings the centroids together, of the masks where both are given, else of the
        intensities; or ``"translation"``, ``"rigid"``, ``"similarity"`` or ``"affine"``, an
        alignment from anywhere, see :func:`itk_nephi.alignment.align`.
    fixed, moving : itk.Image or sequence of itk.Image
        Scalar images in 2 or 3 dimensions. Of several channels, centers and moments are those of
        the first.
    fixed_mask, moving_mask : itk.Image, optional
        Non-zero inside, or soft, from 0 to 1.

    Returns
    -------
    itk.AffineTransform or itk.TranslationTransform
        From points of fixed space to points of moving space.

    Raises
    ------
    ValueError
        If the kind is unknown.

    Warns
    -----
    UserWarning
        If there is reason to doubt an alignment.
    """
    transform, finding = find_initial_transform(kind, fixed, moving, fixed_mask, moving_mask)
    if finding:
        warnings.warn(finding, stacklevel=2)
    return transform


def find_initial_transform(
    kind: str, fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any
) -> tuple[Any, str]:
    """Return what :func:`compute_initial_transform` does, and why to doubt it, or nothing."""
    if kind in ALIGNMENTS:
        found = find_alignment(
            fixed,
            moving,
            degrees_of_freedom=kind,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
        )
        return found.transform, "" if _is_decided_by_position(found) else found.finding
    if kind not in KINDS:
        raise ValueError(
            f"expected initial_transform to be one of {', '.join(KINDS)}, got {kind!r}"
        )
    fixed, moving = (
        image[0] if isinstance(image, Sequence) else image for image in (fixed, moving)
    )
    return compute_translation(kind, fixed, moving, fixed_mask, moving_mask), ""


def _is_decided_by_position(found: Alignment) -> bool:
    """Return whether an ambiguous alignment is the one next to where the images lie in space."""
    return (
        found.ambiguous
        and found.similarity >= UNRELATED
        and found.reached_from == "stored"
        and found.mirror_margin >= -MIRRORED
    )
