"""Validation: how well a model predicts pairs that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from itk_nephi.evaluation.evaluation import MeanEvaluation, evaluate
from itk_nephi.fields.deformation import transform_from_deformation
from itk_nephi.fields.sampled_transforms import sample_transform
from itk_nephi.models.nephi import NePhi
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import compose, flatten


def validate(model: NePhi, pairs: Iterable[ImagePair], device: torch.device) -> MeanEvaluation:
    """Predict pairs, each as a registration without refinement does, and average how good it is.

    A pair that does not overlap, or only where an image is constant, has an NCC of 0, so that the
    others still decide which model is best.
    """
    found = (evaluate(pair, predicted_transform(model, pair, device)) for pair in pairs)
    return MeanEvaluation.of(
        replace(each, ncc=0.0) if math.isnan(each.ncc) else each for each in found
    )


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
