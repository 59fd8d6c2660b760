"""Similarity metrics: the channels of the images, and their dissimilarity, which is minimized.

A *dissimilarity* maps the channels of both images at corresponding points to one number,
differentiable by the moving values: (fixed_values (N, C), moving_values (N, C), weights (N,)) ->
Tensor, shape ().
Those here are 0 for a perfect match and about 1 for none, so that one weight of GradICON suits all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from itk_nephi.fields.device import constant
from itk_nephi.losses.features import (
    FeatureMap,
    channels,
    rescaled,
    self_similarity,
    smoothed,
    standardized,
)
from itk_nephi.losses.settings import SIMILARITIES, WINDOWS

BINS = 32

Dissimilarity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From fixed and moving values, shape (N, C), and weights in [0, 1], shape (N,), to a number."""


@dataclass(frozen=True)
class Similarity:
    """A similarity metric: the channels of an image, and their dissimilarity.

    Parameters
    ----------
    feature_map : FeatureMap
        Makes the channels of either image.
    dissimilarity : Dissimilarity
        Of the channels at corresponding points; minimized.
    """

    feature_map: FeatureMap
    dissimilarity: Dissimilarity

    @classmethod
    def of(
        cls,
        kind: str,
        dissimilarity: Dissimilarity | None = None,
        *,
        voxel: float,
        windows: tuple[float, ...] = WINDOWS,
    ) -> Similarity:
        """Return a similarity metric by its name, or that of a user's dissimilarity.

        Parameters
        ----------
        kind : str
            ``"local_ncc"``: NCC of the intensities and of the locally standardized ones at all
            points, not that of windows.
            ``"ncc"``: NCC of the intensities. ``"mean_squares"``: their mean square difference.
            ``"mind_ssc"``: mean squares of self-similarity descriptors, for images of different
            modalities. ``"mutual_information"``: of the intensities, likewise.
            ``"windowed_ncc"`` is not one of single points: see
            :func:`itk_nephi.losses.lattice.local_dissimilarity`.
        dissimilarity : Dissimilarity, optional
            Minimized instead of what ``kind`` names. Gets the smoothed intensities.
        voxel : float
            The voxel size that both images share in ``"mind_ssc"``, mm.
        windows : tuple of float
            Standard deviations of the windows of ``"local_ncc"``, voxels.

        Raises
        ------
        ValueError
            If there is no similarity of single points of this name.
        """
        if dissimilarity is not None:
            return cls(smoothed, dissimilarity)
        match kind:
            case "local_ncc":
                return cls(partial(channels, windows=windows), correlation)
            case "ncc":
                return cls(standardized, correlation)
            case "mean_squares":
                return cls(smoothed, mean_squares)
            case "mind_ssc":
                return cls(partial(self_similarity, voxel=voxel), mean_squares)
            case "mutual_information":
                return cls(rescaled, mutual_information)
            case "windowed_ncc":
                raise ValueError("expected a similarity of single points, got windowed_ncc")
        raise ValueError(
            f"expected similarity to be one of {', '.join(SIMILARITIES)}, got {kind!r}"
        )


def weighted(dissimilarity: Dissimilarity, weights: tuple[float, ...]) -> Dissimilarity:
    """Return the weighted mean of the dissimilarities of several images of a subject.

    Parameters
    ----------
    dissimilarity : Dissimilarity
        Of the channels of one image of each subject.
    weights : tuple of float
        One for each image. The values hold the channels of one image after the other.
    """
    if len(weights) == 1:
        return dissimilarity

    def compare(fixed: Tensor, moving: Tensor, points: Tensor) -> Tensor:
        parts = [values.chunk(len(weights), dim=1) for values in (fixed, moving)]
        found = [dissimilarity(one, other, points) for one, other in zip(*parts, strict=True)]
        return (torch.stack(found) * constant(weights, fixed.dtype, fixed.device)).sum() / sum(
            weights
        )

    return compare


def correlation(fixed: Tensor, moving: Tensor, weights: Tensor) -> Tensor:
    r"""Return 1 - NCC (normalized cross-correlation), averaged over the channels.

    The published dissimilarity: one correlation over all sampled points of the pair.

    Parameters
    ----------
    fixed, moving : Tensor, shape (N, C)
        Channels of both images at corresponding points.
    weights : Tensor, shape (N,)
        Of the points; 0 where one of the images has no value.

    Returns
    -------
    Tensor, shape ()
        Dimensionless: 0 for a perfect linear relation, 1 for none, 2 for an inverted one.
    """
    share = (weights / weights.sum().clamp(min=1e-6))[:, None]
    fixed = fixed - (share * fixed).sum(dim=0)
    moving = moving - (share * moving).sum(dim=0)
    covariance = (share * fixed * moving).sum(dim=0)
    variances = (share * fixed.square()).sum(dim=0) * (share * moving.square()).sum(dim=0)
    # the constant keeps a flat sample from dividing by zero
    return 1 - (covariance / (variances + 1e-12).sqrt()).mean()


def mean_squares(fixed: Tensor, moving: Tensor, weights: Tensor) -> Tensor:
    r"""Return the mean square difference over twice the fixed variance, averaged over the channels.

    .. math:: \langle (m - f)^2 \rangle / (2 \operatorname{var} f)

    which is 1 - NCC where both have the same mean and variance. Parameters and result as for
    :func:`correlation`.
    """
    share = (weights / weights.sum().clamp(min=1e-6))[:, None]
    difference = (share * (moving - fixed).square()).sum(dim=0)
    variance = (share * (fixed - (share * fixed).sum(dim=0)).square()).sum(dim=0)
    # the constants keep a flat sample from dividing by zero
    floor = 1e-9 * (share * fixed.square()).sum(dim=0) + 1e-30
    return (difference / (2 * variance + floor)).mean()


def mutual_information(fixed: Tensor, moving: Tensor, weights: Tensor) -> Tensor:
    r"""Return the mutual information as a dissimilarity, averaged over the channels.

    .. math:: \exp(-2 I)

    where I is the mutual information, in nats, of a joint histogram with Gaussian windows. For
    normally distributed values it is 1 - NCC^2.

    Parameters
    ----------
    fixed, moving : Tensor, shape (N, C)
        Channels of both images at corresponding points, in [0, 1].
    weights : Tensor, shape (N,)
        Of the points; 0 where one of the images has no value.

    Returns
    -------
    Tensor, shape ()
        Dimensionless: 0 where one value determines the other, 1 where they are independent.

    References
    ----------
    Wells et al., Multi-modal volume registration by maximization of mutual information, Medical
    Image Analysis 1996: the windows. Linfoot, An informational measure of correlation, 1957: the
    scale.
    """
    share = weights / weights.sum().clamp(min=1e-6)
    joint = (share[:, None] * _windows(fixed)).transpose(1, 2) @ _windows(moving)
    alone = joint.sum(dim=2, keepdim=True) * joint.sum(dim=1, keepdim=True)
    tiny = 1e-12
    information = (joint * ((joint + tiny) / (alone + tiny)).log()).sum(dim=(1, 2))
    return (-2 * information).exp().mean()


def _windows(values: Tensor) -> Tensor:
    """Return the Parzen windows of values in [0, 1], shape (N, C): (C, N, BINS), sums of 1."""
    bins = torch.arange(BINS, dtype=values.dtype, device=values.device)
    offset = values.T[:, :, None] * (BINS - 1) - bins
    return torch.softmax(-offset.square() / 2, dim=-1)
