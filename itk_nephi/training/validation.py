"""How well a model predicts pairs that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import itk
import numpy as np
import torch

from itk_nephi.evaluation.metrics import (
    dice,
    folding_fraction,
    jacobian_determinant_image,
    landmark_errors,
    normalized_cross_correlation,
)
from itk_nephi.fields.deformation import transform_from_deformation
from itk_nephi.fields.sampled_transforms import sample_transform
from itk_nephi.models.nephi import NePhi
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import compose, flatten


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good the registration of a pair is, or that of several on average.

    Parameters
    ----------
    ncc : float
        Correlation of the fixed and the warped moving image, in [-1, 1].
    folding : float
        Fraction of the fixed image's voxels, in [0, 1], that the deformation folds.
    dice : float or None
        Overlap of the labels, in [0, 1], averaged over the labels, where there are any.
    landmark_error : float or None
        Mean distance of the landmarks, mm, where there are any.
    """

    ncc: float
    folding: float
    dice: float | None
    landmark_error: float | None

    @property
    def merit(self) -> float:
        """What the best model has most of: overlap, or else closeness of landmarks, or else NCC."""
        if self.dice is not None:
            return self.dice
        return self.ncc if self.landmark_error is None else -self.landmark_error

    @classmethod
    def mean(cls, scores: Iterable[Scores]) -> Scores:
        """Average the scores of pairs; those that a pair does not have are left out."""
        every = list(scores)

        def average(name: str) -> float | None:
            values = [getattr(one, name) for one in every if getattr(one, name) is not None]
            return float(np.mean(values)) if values else None

        return cls(**{field.name: average(field.name) for field in fields(cls)})  # type: ignore[arg-type]


def judge(pair: ImagePair, fixed_to_moving: Any) -> Scores:
    """Return how good a transform of a pair is.

    Parameters
    ----------
    pair : ImagePair
        The images, and their labels or landmarks.
    fixed_to_moving : itk.Transform
        From fixed to moving points.
    """
    warped = itk.resample_image_filter(
        pair.moving_image,
        transform=fixed_to_moving,
        use_reference_image=True,
        reference_image=pair.fixed_image,
    )
    overlap = pair.labels and dice(*pair.labels, fixed_to_moving)
    return Scores(
        ncc=normalized_cross_correlation(pair.fixed_image, warped, pair.fixed_mask),
        folding=folding_fraction(
            jacobian_determinant_image(fixed_to_moving, pair.fixed_image), pair.fixed_mask
        ),
        dice=float(np.mean(list(overlap.values()))) if overlap else None,
        landmark_error=float(landmark_errors(fixed_to_moving, *pair.evaluation_landmarks).mean())
        if pair.evaluation_landmarks
        else None,
    )


def validate(model: NePhi, pairs: Iterable[ImagePair], device: torch.device) -> Scores:
    """Predict pairs, each as a registration without refinement does, and average the scores."""
    return Scores.mean(judge(pair, predicted_transform(model, pair, device)) for pair in pairs)


def predicted_transform(model: NePhi, pair: ImagePair, device: torch.device) -> Any:
    """Return the transform from fixed to moving points that a model predicts."""
    box = model.settings.box(pair.fixed_image, pair.fixed_mask)
    deformation = model.predict(
        pair.fixed_image,
        pair.moving_image,
        pair.fixed_mask,
        pair.moving_mask,
        box=box,
        initial_transform=sample_transform(pair.initial_transform, box),
        device=device,
    )
    return compose([transform_from_deformation(deformation), *flatten(pair.initial_transform)])
