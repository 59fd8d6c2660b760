"""The objective of registration and training: dissimilarity, regularizers and landmarks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from itk_nephi.fields.latent_code import Code
from itk_nephi.fields.neural_field import DeformationField
from itk_nephi.losses.regularizers import diffusion_energy, folding_penalty, gradicon, latent_prior
from itk_nephi.losses.settings import ObjectiveWeights
from itk_nephi.losses.similarity import Dissimilarity

Sampler = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Interpolates the channels of an image at coords of the fixed domain, shape (N, D): returns them,
shape (N, C), and 1 or 0 for each point inside or outside the image, shape (N,)."""


@dataclass(frozen=True)
class LandmarkPairs:
    """Guide landmarks: corresponding points that the fields have to bring together.

    Parameters
    ----------
    coords : pair of Tensor, shape (N, D)
        Of the fixed domain: the fixed points, and the moving points mapped by the inverse of the
        initial transform.
    weights : Tensor, shape (N,)
        The weight of each pair.
    scale : float
        Up to which distance the penalty is about quadratic, coords; beyond, it is about linear.
    """

    coords: tuple[Tensor, Tensor]
    weights: Tensor
    scale: float

    def misfit(self, moved: Tensor, goal: Tensor) -> Tensor:
        r"""Pseudo-Huber loss of the distance r of moved points from their goal, (N, D), coords.

        .. math:: \langle \sqrt{1 + (r / s)^2} - 1 \rangle

        The weighted mean over the pairs, with the scale s; robust to a wrong pair.
        """
        squares = ((moved - goal) / self.scale).square().sum(dim=1)
        return (self.weights * ((1 + squares).sqrt() - 1)).sum() / self.weights.sum()


def objective_terms(
    field: DeformationField,
    inverse_field: DeformationField,
    code: Code,
    images: tuple[Sampler, Sampler],
    coords: tuple[Tensor, Tensor],
    *,
    dissimilarity: Dissimilarity,
    point_weights: tuple[Tensor | None, Tensor | None] = (None, None),
    guide_landmarks: LandmarkPairs | None = None,
    regularizer_points: int,
    voxel: float,
    weights: ObjectiveWeights,
    landmark_weight: float = 0.0,
    chunk: int | None = None,
) -> dict[str, Tensor]:
    """Return the terms of the objective and their weighted sum.

    Both directions have the same weight. The regularizer takes the first of the points of the
    dissimilarity, whose values it shares.

    Parameters
    ----------
    field, inverse_field : DeformationField
        From fixed to moving coords, and back.
    code : Code
        The pair's latent code.
    images : pair of Sampler
        Of the fixed and of the moving image.
    coords : pair of Tensor, shape (N, D)
        Points in the fixed image, for the field, and in the moving one, for the inverse field.
    dissimilarity : Dissimilarity
        Of the images' channels.
    point_weights : pair of Tensor, shape (N,), or None
        The weight of each point in the dissimilarity; all the same when left out.
    guide_landmarks : LandmarkPairs, optional
        Points to bring together.
    regularizer_points : int
        How many points serve the regularizer, at most N.
    voxel : float
        The edge of a voxel in coords, dimensionless: the unit of the inverse consistency and of the
        bending.
    weights : ObjectiveWeights
        Of the terms; diffusion, bending and folding are left out where theirs is 0.
    landmark_weight : float
        Of the landmarks.
    chunk : int, optional
        How many of the points that serve the dissimilarity alone a field moves at a time, once more
        for the gradients: the same values with less memory. All, and once, when left out.

    Returns
    -------
    dict of str to Tensor, shape ()
        Unweighted: ``dissimilarity``; ``gradicon``; ``inverse_consistency``, the mean square
        inverse consistency error, voxels^2, averaged over the axes; ``latent_prior``; and where
        asked for ``landmark``; ``diffusion``; ``bending``, the mean square difference of the
        Jacobian from a voxel to the next; ``folding``. And their weighted sum, ``total``.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322. The inverse consistency error of the points is ours: the
    published objective, GradICON, is blind to a translation.
    """
    dissimilarities, gradient_terms, residual_terms = [], [], []
    more: dict[str, list[Tensor]] = defaultdict(list)
    for here, inner, outer in ((0, field, inverse_field), (1, inverse_field, field)):
        points, counts = coords[here], point_weights[here]
        few, many = points[:regularizer_points], points[regularizer_points:]
        moved_few, inner_jacobian = inner.with_jacobian(few, code)
        if chunk is None:
            moved_many = [inner(many, code)]
        else:
            moved_many = [
                checkpoint(inner, part, code, use_reentrant=False)
                for part in torch.split(many, chunk)
            ]
        moved = torch.cat([moved_few, *moved_many])
        back, outer_jacobian = outer.with_jacobian(moved_few, code)
        reference_values, in_reference = images[here](points)
        other_values, in_other = images[1 - here](moved)
        seen = in_reference * in_other if counts is None else in_reference * in_other * counts
        dissimilarities.append(dissimilarity(reference_values, other_values, seen))
        gradient_terms.append(gradicon(outer_jacobian, inner_jacobian))
        residual_terms.append((back - few).square().mean() / voxel**2)
        if guide_landmarks is not None:
            moved_landmarks = inner(guide_landmarks.coords[here], code)
            goal = guide_landmarks.coords[1 - here]
            more["landmark"].append(guide_landmarks.misfit(moved_landmarks, goal))
        if weights.diffusion_weight:
            more["diffusion"].append(diffusion_energy(inner_jacobian))
        if weights.bending_weight:
            # one axis for each point, by turns: as good on average as all axes for all points
            identity = torch.eye(few.shape[1], dtype=few.dtype, device=few.device)
            axes = identity[torch.arange(len(few), device=few.device) % few.shape[1]]
            _, next_jacobian = inner.with_jacobian(few + voxel * axes, code)
            more["bending"].append((next_jacobian - inner_jacobian).square().mean())
        if weights.folding_weight:
            more["folding"].append(folding_penalty(inner_jacobian))
    terms = {
        "dissimilarity": torch.stack(dissimilarities).mean(),
        "gradicon": torch.stack(gradient_terms).mean(),
        "inverse_consistency": torch.stack(residual_terms).mean(),
        "latent_prior": latent_prior(code),
    }
    terms["total"] = (
        terms["dissimilarity"]
        + weights.gradicon_weight * terms["gradicon"]
        + weights.inverse_consistency_weight * terms["inverse_consistency"]
        + weights.latent_prior_weight * terms["latent_prior"]
    )
    weights_of_more = {
        "landmark": landmark_weight,
        "diffusion": weights.diffusion_weight,
        "bending": weights.bending_weight,
        "folding": weights.folding_weight,
    }
    for name, values in more.items():
        terms[name] = torch.stack(values).mean()
        terms["total"] = terms["total"] + weights_of_more[name] * terms[name]
    return terms
