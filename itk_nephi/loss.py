"""The objective: dissimilarity, gradient inverse consistency, latent prior, their weighted sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from itk_nephi.model import DeformationField, LatentCode

Sampler = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Interpolates the channels of an image at coords of the fixed domain, shape (N, D): returns them,
shape (N, C), and 1 or 0 for each point inside or outside the image, shape (N,)."""


def objective(
    field: DeformationField,
    inverse_field: DeformationField,
    code: LatentCode,
    images: tuple[Sampler, Sampler],
    coords: tuple[Tensor, Tensor],
    *,
    regularizer_points: int,
    voxel: float,
    smoothness: float,
    inverse_consistency: float,
    prior: float,
) -> dict[str, Tensor]:
    """Return the terms of the objective and their weighted sum.

    Both directions count the same. The regulariser takes the first of the similarity's points,
    whose values it shares.

    Parameters
    ----------
    field, inverse_field : DeformationField
        From fixed to moving coords, and back.
    code : LatentCode
        The pair's.
    images : pair of Sampler
        Of the fixed and of the moving image.
    coords : pair of Tensor, shape (N, D)
        Points in the fixed image, for the field, and in the moving one, for the inverse field.
    regularizer_points : int
        How many points serve the gradient inverse consistency, at most N.
    voxel : float
        The edge of a voxel in coords, dimensionless: the unit of the inverse consistency.
    smoothness, inverse_consistency, prior : float
        Weights of the gradient inverse consistency, of the inverse consistency and of the latent
        prior.

    Returns
    -------
    dict of str to Tensor, shape ()
        Unweighted: ``dissimilarity``; ``gradient_inverse_consistency``; ``inverse_consistency``,
        the mean square by which points come back to another place, voxels^2, averaged over the
        axes; ``latent_prior``. And their weighted sum, ``total``.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322. The inverse consistency of the points themselves is ours:
    the published objective leaves a shift of the round trip free.
    """
    fixed, moving = images
    dissimilarities, gradient_terms, residual_terms = [], [], []
    for outer, inner, reference, other, points in (
        (inverse_field, field, fixed, moving, coords[0]),
        (field, inverse_field, moving, fixed, coords[1]),
    ):
        few, many = points[:regularizer_points], points[regularizer_points:]
        moved_few, inner_jacobian = inner.with_jacobian(few, code)
        moved = torch.cat([moved_few, inner(many, code)])
        back, outer_jacobian = outer.with_jacobian(moved_few, code)
        reference_values, in_reference = reference(points)
        other_values, in_other = other(moved)
        weights = in_reference * in_other
        dissimilarities.append(dissimilarity(reference_values, other_values, weights))
        gradient_terms.append(gradient_inverse_consistency(outer_jacobian, inner_jacobian))
        residual_terms.append((back - few).square().mean() / voxel**2)
    terms = {
        "dissimilarity": torch.stack(dissimilarities).mean(),
        "gradient_inverse_consistency": torch.stack(gradient_terms).mean(),
        "inverse_consistency": torch.stack(residual_terms).mean(),
        "latent_prior": latent_prior(code),
    }
    terms["total"] = (
        terms["dissimilarity"]
        + smoothness * terms["gradient_inverse_consistency"]
        + inverse_consistency * terms["inverse_consistency"]
        + prior * terms["latent_prior"]
    )
    return terms


def dissimilarity(fixed: Tensor, moving: Tensor, weights: Tensor) -> Tensor:
    r"""Return 1 - NCC of each channel, averaged over the channels.

    The published similarity: one correlation over all sampled points of the pair.

    Parameters
    ----------
    fixed, moving : Tensor, shape (N, C)
        Channels of both images at corresponding points.
    weights : Tensor, shape (N,)
        How much a point counts; 0 where one of the images has no value.

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


def gradient_inverse_consistency(outer: Tensor, inner: Tensor) -> Tensor:
    r"""Penalise the Jacobian of one map after another for not being the identity.

    .. math:: \frac{1}{N D^2} \sum_n \lVert J_{outer}(y_n) J_{inner}(x_n) - I \rVert_F^2
    """
    identity = torch.eye(inner.shape[-1]).to(inner)
    return (outer @ inner - identity).square().mean()


def latent_prior(code: LatentCode) -> Tensor:
    """Return the norm of the global code plus the mean norm of the local codes, dimensionless."""
    epsilon = 1e-8
    return (code.global_code.square().sum() + epsilon).sqrt() + (
        code.local_code.square().sum(dim=-1) + epsilon
    ).sqrt().mean()
