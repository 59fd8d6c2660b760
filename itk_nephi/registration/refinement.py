"""How register() refines what a model predicts: its arguments' checks, and no further folds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from itk_nephi.fields.deformation import (
    Deformation,
    codes_of,
    transform_from_deformation,
    weights_of,
)
from itk_nephi.models.nephi import NePhi
from itk_nephi.models.serialization import load_model
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.domain import Array, ImageDomain

REFINED = {"code": 0.0, "code_and_weights": 1e-4}
"""What can be refined, and the largest step size of the weights for it."""

CODE_LEARNING_RATE = 1e-2
"""The largest step size of the code: in a few steps, larger ones fold what was predicted well."""

FOLD_VOXELS = 131_072
"""At how many voxels, where there are more, a refinement is looked through for folds."""

FINE_FOLD_POINTS = 32_768
"""The same for the grid twice as fine."""


def model_and_settings(
    model: Any, steps: int, refine: str, settings: RegistrationSettings
) -> tuple[NePhi, RegistrationSettings]:
    """Return a model and the settings that refine its predictions, or say what is wrong.

    Parameters
    ----------
    model : NePhi or path
        A model or its file.
    steps : int
        Optimizer steps of the refinement; with 0 there is none, and those of the settings stay.
    refine : {"code", "code_and_weights"}
        What is optimized.
    settings : RegistrationSettings
        Those of an optimization from scratch.

    Raises
    ------
    TypeError
        If the model is neither a model nor a path.
    ValueError
        If an argument is out of range, or the file is not that of a model.
    """
    if refine not in REFINED:
        raise ValueError(f"expected refine to be one of {', '.join(REFINED)}, got {refine!r}")
    if steps < 0:
        raise ValueError(f"expected refine_steps of 0 or more, got {steps}")
    if isinstance(model, (str, os.PathLike)):
        model = load_model(model)
    if not isinstance(model, NePhi):
        raise TypeError(f"expected model to be a NePhi or a path, got {type(model).__name__}")
    return model, replace(
        settings,
        field=model.settings.field,
        smoothing_sigmas=settings.smoothing_sigmas[-1:],
        steps=steps or settings.steps,
        network_learning_rate=min(settings.network_learning_rate, REFINED[refine]),
        code_learning_rate=min(settings.code_learning_rate, CODE_LEARNING_RATE),
    )


def parameters_of(deformations: Sequence[Deformation]) -> list[Tensor]:
    """Return copies of the weights and codes of deformations, each once where they share it."""
    parameters = (*weights_of(deformations), *codes_of(deformations))
    return [parameter.detach().clone() for parameter in parameters]


def take_back_folds(
    deformations: Sequence[Deformation], prediction: list[Tensor], image_domain: ImageDomain
) -> None:
    """Go back towards the prediction until no field folds at more points than were predicted.

    In a few steps an optimizer can fold a place that was predicted well, where its regularizer drew
    no point. All of the code and the weights go back, a quarter of the way at a time.

    Parameters
    ----------
    deformations : sequence of Deformation
        Refined; changed in place where one folds more.
    prediction : list of Tensor
        What :func:`parameters_of` them was.
    image_domain : ImageDomain
        Folds are looked for at its voxels, as in an image of Jacobian determinants, and on a grid
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
