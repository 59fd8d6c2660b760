"""train(): many image pairs to a model that predicts the deformation of others."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from itk_nephi.channels import WINDOWS
from itk_nephi.dataset import PairSource, Sample, Samples
from itk_nephi.encoder import LatentCodeTable, PairCode
from itk_nephi.image import SampledImage
from itk_nephi.loss import Sampler, objective
from itk_nephi.model_file import save_model
from itk_nephi.nephi import ModelSettings, NePhi
from itk_nephi.similarity import Similarity
from itk_nephi.validation import Scores, validate

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
BEST, LAST = "best.safetensors", "last.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a model is trained.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    batch : int
        Pairs of each pass, on each device.
    accumulate : int
        Passes of each step.
    auto_decoder : bool
        Give each pair a free code of its own in place of the encoder's. Needs pairs that are not
        changed at random.
    similarity : str
        How the images are compared, see :class:`itk_nephi.RegistrationSettings`.
    local_windows : tuple of float
        Standard deviations of the windows of ``"local_ncc"``, voxels.
    smoothing : float
        Standard deviation of the images' Gaussian smoothing, voxels.
    points, regularizer_points : int
        Random points of each direction, pair and step at which images are compared, and how many
        of these also serve the regulariser.
    smoothness, inverse_consistency, latent_prior, diffusion, bending, folding : float
        Weights of the objective's terms, see :class:`itk_nephi.RegistrationSettings`.
    weights_learning_rate, code_learning_rate : float
        Step sizes of Adam, of the fields, and of the encoder or the auto-decoder's codes.
    warm_up : int
        Steps during which these rise from 0; then they fall to 0 along a cosine.
    mixed_precision : bool
        Run the encoder in bfloat16; fields and objective stay in single precision.
    validate_every : int
        Steps between validations; a checkpoint is written at each, and at the end.
    devices, nodes : int
        How many CPU processes or GPUs train together on each of how many computers.
    seed : int
        Of all random numbers.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    steps: int = 10_000
    batch: int = 8
    accumulate: int = 1
    auto_decoder: bool = False
    similarity: str = "ncc"
    local_windows: tuple[float, ...] = WINDOWS
    smoothing: float = 0.0
    points: int = 1_000
    regularizer_points: int = 100
    smoothness: float = 0.5
    inverse_consistency: float = 0.1
    latent_prior: float = 0.005
    diffusion: float = 0.0
    bending: float = 0.0
    folding: float = 0.0
    weights_learning_rate: float = 3e-4
    code_learning_rate: float = 1e-3
    warm_up: int = 100
    mixed_precision: bool = False
    validate_every: int = 1_000
    devices: int = 1
    nodes: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "points", "regularizer_points", "devices"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        for name in ("nodes", "validate_every", "warm_up"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not 0 <= value < math.inf:
                raise ValueError(f"expected {field.name} of 0 or more, got {value}")
        if self.regularizer_points > self.points:
            raise ValueError(
                f"expected regularizer_points of at most points, {self.points}, got "
                f"{self.regularizer_points}"
            )
        Similarity.of(self.similarity, voxel=1.0)

    def learning_rate(self, step: int) -> float:
        """Return the share of the learning rates that a step, counted from 0, takes."""
        rising = min(1.0, (step + 1) / self.warm_up)
        return rising * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands after a step.

    Parameters
    ----------
    done, total : int
        Steps done and to do.
    losses : dict of str to float
        The terms of the objective, unweighted, and their weighted sum ``total``; over the pairs of
        all devices.
    scores : Scores or None
        Of the validation, where this step had one.
    """

    done: int
    total: int
    losses: dict[str, float]
    scores: Scores | None


class _Objective(nn.Module):
    """The losses of a batch, averaged over its pairs: what all devices differentiate together."""

    def __init__(self, model: NePhi, codes: LatentCodeTable | None, settings: TrainingSettings):
        super().__init__()
        self.model, self.codes, self.settings = model, codes, settings
        self.domain = model.settings.reference_box
        self.similarity = Similarity.of(
            settings.similarity, voxel=self.domain.voxel_size, windows=settings.local_windows
        )

    def forward(self, sample: Sample, pairs: Tensor, coords: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective and their weighted sum, shape ().

        ``coords``, shape (B, 2, N, D), are the points in the fixed and in the moving image.
        """
        settings = self.settings
        kind = sample.fixed.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=settings.mixed_precision):
            if self.codes is not None:
                codes = self.codes(pairs)
            else:
                codes = self.model.encoder(sample.fixed, sample.moving)
        images = [
            torch.stack(
                [
                    self.similarity.channels(image, weights, self.domain, settings.smoothing)[0]
                    for image, weights in zip(values[:, None], inside[:, None], strict=True)
                ]
            )
            for values, inside in (
                (sample.fixed, sample.fixed_weights),
                (sample.moving, sample.moving_weights),
            )
        ]
        # one pair's objective, for all pairs at once
        losses: dict[str, Tensor] = torch.func.vmap(self._losses)(
            [code.float() for code in codes], images, sample, coords
        )
        return {name: values.mean() for name, values in losses.items()}

    def _losses(
        self, code: Sequence[Tensor], images: Sequence[Tensor], sample: Sample, coords: Tensor
    ) -> dict[str, Tensor]:
        settings = self.settings
        weights = [
            self._sampled(values)(points)[0][:, 0]
            for values, points in zip(
                (sample.fixed_weights, sample.moving_weights), coords, strict=True
            )
        ]
        return objective(
            self.model.field,
            self.model.inverse_field,
            PairCode(*code),
            (
                self._supported(images[0], sample.fixed_support),
                self._supported(images[1], sample.moving_support),
            ),
            (coords[0], coords[1]),
            dissimilarity=self.similarity.dissimilarity,
            point_weights=(weights[0], weights[1]),
            regularizer_points=settings.regularizer_points,
            voxel=self.domain.voxel_size / self.domain.scale,
            smoothness=settings.smoothness,
            inverse_consistency=settings.inverse_consistency,
            prior=settings.latent_prior,
            diffusion=settings.diffusion,
            bending=settings.bending,
            folding=settings.folding,
        )

    def _sampled(self, values: Tensor) -> SampledImage:
        return SampledImage(values[None], self.domain, self.domain)

    def _supported(self, channels: Tensor, support: Tensor) -> Sampler:
        image, inside = self._sampled(channels), self._sampled(support)

        def sampler(coords: Tensor) -> tuple[Tensor, Tensor]:
            values, in_box = image(coords)
            return values, in_box * inside(coords.detach())[0][:, 0]

        return sampler


def train(
    pairs: PairSource,
    validation_pairs: PairSource,
    model_settings: ModelSettings,
    settings: TrainingSettings,
    output: Path,
    *,
    augmentation: Augmentation | None = None,
    resume: bool = False,
    device: str = "cpu",
    report: Callable[[TrainingProgress], None] | None = None,
) -> bool:
    ...
