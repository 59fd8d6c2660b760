"""Linear alignment of two images from anywhere: of one or different modalities, in 2D and 3D.

A search over all rotations and shifts on small images gives candidates; the best are refined coarse
to fine, and the last one up to the degrees of freedom asked for. Every length is a share of the
images or of a voxel, so units do not matter. Mirror images are never produced.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from itk_nephi.alignment.explained_variance import similarity
from itk_nephi.alignment.problem import AlignmentProblem, Candidate
from itk_nephi.alignment.pyramid import Pyramid
from itk_nephi.alignment.slabs import FEW
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.initialization import ALIGNMENTS
from itk_nephi.spatial.preparation import check_scalar

logger = logging.getLogger(__name__)

NOTICEABLE = 1e-3
"""A difference of similarities that is more than rounding and interpolation."""
AMBIGUOUS = 0.05
"""Similarity, as a share of the best, by which another alignment should be behind."""
MIRRORED = 0.002
"""By how much more similar a mirror image is one: heads are nearly their own."""
UNRELATED = 0.02
"""The similarity below which images have nothing in common but noise."""
DISTORTED = 2.0
"""The largest over the smallest stretch of an affine map, from where it is to be doubted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """A linear alignment of two images.

    Parameters
    ----------
    transform : itk.AffineTransform
        From fixed to moving points, about the center of the fixed image.
    similarity : float
        The share of the images' variance that they explain of each other, at most 1.
    margin : float
        How far the second-best distinct alignment was behind, share of the best one's similarity.
    mirror_margin : float
        The same of the best mirror image, which is never returned; below 0 if it fits better.
    finding : str
        Why to doubt the alignment; empty if there is no reason.
    reached_from : {"search", "stored", "centers", "initial_transform"}
        What leads to it: the search, where the images lie in space, their centers together, or the
        initial transform. Of about equally similar alignments, that is taken to which the initial
        transform leads or, without one, where the images lie.
    """

    transform: Any
    similarity: float
    margin: float
    mirror_margin: float
    finding: str
    reached_from: str

    @property
    def ambiguous(self) -> bool:
        """Whether another alignment fits about as well, or a mirror image better."""
        return self.margin < AMBIGUOUS or self.mirror_margin < -MIRRORED

    @property
    def volume_change(self) -> float:
        """The volume of a piece of the moving image over that of its match in the fixed image."""
        return float(np.linalg.det(itk.array_from_matrix(self.transform.GetMatrix())))


def align(
    fixed: Any,
    moving: Any,
    *,
    degrees_of_freedom: str = "affine",
    fixed_mask: Any = None,
    moving_mask: Any = None,
    initial_transform: Any = None,
) -> Alignment:
    """Align two images, wherever they lie and however they are turned.

    Parameters
    ----------
    fixed, moving : itk.Image or sequence of itk.Image
        Scalar images in 2 or 3 dimensions, or as many channels of each, each channel to be
        compared with its counterpart.
    degrees_of_freedom : {"affine", "similarity", "rigid", "translation"}
        What may change. A translation keeps the linear part of the initial transform.
    fixed_mask, moving_mask : itk.Image, optional
        Where to look: non-zero inside, or soft, from 0 to 1. What lies outside changes nothing.
    initial_transform : itk.Transform, optional
        A linear transform from fixed to moving points to try besides.

    Returns
    -------
    Alignment
        Never less similar than the initial transform, as it is, or than the images as they lie in
        space.

    Raises
    ------
    ValueError
        If images, masks or the initial transform do not fit together.

    Warns
    -----
    UserWarning
        If the alignment is ambiguous, or no better than a start.

    Notes
    -----
    The same images give the same bits, on any number of threads; exchanged images give the inverse.
    """
    found = find_alignment(
        fixed,
        moving,
        degrees_of_freedom=degrees_of_freedom,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        initial_transform=initial_transform,
    )
    if found.finding:
        warnings.warn(found.finding, stacklevel=2)
    return found


def find_alignment(
    fixed: Any,
    moving: Any,
    *,
    degrees_of_freedom: str,
    fixed_mask: Any = None,
    moving_mask: Any = None,
    initial_transform: Any = None,
) -> Alignment:
    """Return what :func:`align` does, without a warning."""
    pyramids = _pyramids(fixed, moving, fixed_mask, moving_mask)
    problem = AlignmentProblem(pyramids, _number_of(degrees_of_freedom))
    starts = problem.starts(initial_transform)
    if problem.slab:
        logger.warning(
            "images of at most %d slices are aligned within their planes: through them they stay "
            "where they lie, or where their centers meet",
            FEW,
        )
    candidates = problem.refined(problem.searched(starts), starts)
    final, margin = problem.decided(candidates)
    mirror_margin = problem.mirror_margin(candidates[0], final)
    first = max(
        (
            Candidate(
                matrix,
                similarity(*problem.levels[-1], matrix).explained,
                name,
                name == problem.home,
            )
            for name, matrix in starts.items()
        ),
        key=lambda candidate: candidate.similarity,
    )
    finding = _finding(first, final, margin, mirror_margin)
    if first.similarity > final.similarity:
        final = first
    return Alignment(
        transform=problem.transform(final.matrix),
        similarity=final.similarity,
        margin=margin,
        mirror_margin=mirror_margin,
        finding=finding,
        reached_from=problem.home if final.near_home else final.start,
    )


def _finding(first: Candidate, final: Candidate, margin: float, mirror_margin: float) -> str:
    """Return why to doubt an alignment, given the best start, or nothing."""
    if first.similarity > final.similarity + NOTICEABLE:
        return f"no alignment was found that is better than a start ({first.start}), returned as is"
    if final.similarity < UNRELATED:
        return (
            f"the images explain {max(final.similarity, 0):.1%} of each other's variance: there "
            "is nothing to align them by"
        )
    if mirror_margin < -MIRRORED:
        return "the alignment is ambiguous: a mirror image fits better"
    stretches = np.linalg.svd(final.matrix[:-1, :-1], compute_uv=False)
    if stretches[0] > DISTORTED * stretches[-1]:
        return (
            f"the alignment stretches one direction {stretches[0] / stretches[-1]:.1f} times as "
            "much as another: check the spacing of the images, or align them by a similarity"
        )
    if margin < AMBIGUOUS:
        return f"the alignment is ambiguous: one far from it is {100 * margin:.1f} % less similar"
    return ""


def _number_of(degrees_of_freedom: str) -> int:
    if degrees_of_freedom not in ALIGNMENTS:
        raise ValueError(
            f"expected degrees_of_freedom to be one of {', '.join(ALIGNMENTS)}, got "
            f"{degrees_of_freedom!r}"
        )
    return ALIGNMENTS.index(degrees_of_freedom)


def _pyramids(
    fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any
) -> tuple[Pyramid, Pyramid]:
    images = [list(image) if isinstance(image, Sequence) else [image] for image in (fixed, moving)]
    if len(images[0]) != len(images[1]):
        raise ValueError(
            f"expected as many fixed as moving channels, got {len(images[0])} and {len(images[1])}"
        )
    for name, channels in zip(("fixed", "moving"), images, strict=True):
        for image in channels:
            check_scalar(image, name)
    pyramids = (
        Pyramid(images[0], fixed_mask, "fixed"),
        Pyramid(images[1], moving_mask, "moving"),
    )
    if pyramids[0].domain.dimension != pyramids[1].domain.dimension:
        raise ValueError(
            "expected fixed and moving images of the same dimension, got "
            f"{pyramids[0].domain.dimension} and {pyramids[1].domain.dimension}"
        )
    return pyramids
