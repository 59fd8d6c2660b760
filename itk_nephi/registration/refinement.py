"""Refinement of a prediction, without more folding than the prediction had."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from itk_nephi.fields.deformation import (
    Deformation,
    codes_of,
    transform_from_deformation,
    weights_of,
)
from itk_nephi.spatial.domain import Array, ImageDomain

FOLD_VOXELS = 131_072
"""At how many voxels, where there are more, a refinement is searched for folding."""

FINE_FOLD_POINTS = 32_768
"""The same for the grid twice as fine."""


def parameters_of(deformations: Sequence[Deformation]) -> list[Tensor]:
    """Return copies of the weights and codes of deformations, each once where they share it."""
    parameters = (*weights_of(deformations), *codes_of(deformations))
    return [parameter.detach().clone() for parameter in parameters]


def take_back_folds(
    deformations: Sequence[Deformation], prediction: list[Tensor], image_domain: ImageDomain
) -> None:
    """Go back towards the prediction until no field folds at more points than were predicted.

    In a few steps an optimizer can cause folding where the prediction had none, between the points
    of its regularizer. All of the code and the weights go back, a quarter of the way at a time.

    Parameters
    ----------
    deformations : sequence of Deformation
        Refined; changed in place where one folds more.
    prediction : list of Tensor
        What :func:`parameters_of` them was.
    image_domain : ImageDomain
        Folding is looked for at its voxels, as in an image of Jacobian determinants, and on a grid
        twice as fine; of more than ``FOLD_VOXELS`` and ``FINE_FOLD_POINTS``, at every so many.
    """
    refined = parameters_of(deformations)
    grids = [
        _points_of(image_domain, FOLD_VOXELS),
        _points_of(image_domain.twice_as_fine(), FINE_FOLD_POINTS),
    ]

    def folds(share: float) -> list[int]:
        with torch.no_grad():
            parameters = (*weights_of(deformations), *codes_of(deformations))
            for parameter, first, last in zip(parameters, prediction, refined, strict=True):
                parameter.copy_(torch.lerp(first, last, share))
        transforms = [transform_from_deformation(each) for each in deformations]
        return [
            int(np.sum(np.linalg.det(each.JacobiansWithRespectToPosition(points)) <= 0))
            for transform in transforms
            for each in (transform, transform.GetInverseTransform())
            for points in grids
        ]

    share = 1.0
    if any(folds(share)):
        allowed = folds(0.0)
        while any(now > then for now, then in zip(folds(share), allowed, strict=True)):
            share -= 0.25


def _points_of(domain: ImageDomain, at_most: int) -> Array:
    """Return the voxel centers, mm, shape (N, D), or where they are too many every so many."""
    count = math.prod(domain.size)
    return domain.voxel_points(np.arange(0, count, math.ceil(count / at_most)))
