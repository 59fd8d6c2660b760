"""Instance optimisation: the deformation of one image pair that minimises the objective."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch

from itk_nephi.channels import WINDOWS
from itk_nephi.image import SampledImage
from itk_nephi.loss import objective
from itk_nephi.model import FieldSettings
from itk_nephi.pair import ImagePair
from itk_nephi.similarity import Dissimilarity, Similarity, weighted
from itk_nephi.transform import Deformation

logger = logging.getLogger(__name__)

RETRIES = 3
DIVERGED = 1.0
"""Gradient inverse consistency beyond which a level starts again with smaller steps."""
WORSE = 0.01
"""By how much the dissimilarity may rise without a warning, absolute and relative."""


@dataclass(frozen=True, kw_only=True)
class RegistrationSettings:
    """How a pair is registered.

    Parameters
    ----------
    field : FieldSettings
        The sizes of the deformation fields and the latent code.
    similarity : str or callable
        How the images are compared: ``"local_ncc"``, ``"ncc"``, ``"mean_squares"``,
        ``"mind_ssc"``, ``"mutual_information"``, or a function, see
        :meth:`itk_nephi.similarity.Similarity.of`.
    local_windows : tuple of float
        Standard deviations of the windows of ``"local_ncc"``, voxels.
    smoothing : tuple of float
        Standard deviation of the images' Gaussian smoothing at each level, voxels, coarse to fine.
    steps : int
        Optimiser steps of each level.
    points : int
        Random points of each direction and step at which the images are compared.
    regularizer_points : int
        How many of these also serve the regulariser.
    content_sampling : float
        Which part of the points, below 1, is drawn where the images have edges; these count less,
        so that the dissimilarity stays the same on average.
    smoothness : float
        Weight of the gradient inverse consistency; larger is smoother, and closer to invertible.
    inverse_consistency : float
        Weight of the mean square distance, voxels^2, between a point and where both fields, one
        after the other, put it.
    latent_prior : float
        Weight of the latent prior.
    diffusion : float
        Weight of the mean square of the displacement's derivatives.
    bending : float
        Weight of the mean square by which the Jacobian changes from a voxel to the next.
    folding : float
        Weight of the mean square by which Jacobian determinants fall below 0.1.
    landmark_weight : float
        Weight of the landmark pairs, where there are any.
    landmark_scale : float
        Up to which distance a pair counts about quadratically, mm; beyond, it counts linearly.
    weights_learning_rate, code_learning_rate : float
        First step sizes of Adam, which fall to zero within each level along a cosine.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    field: FieldSettings = FieldSettings()
    similarity: str | Dissimilarity = "local_ncc"
    local_windows: tuple[float, ...] = WINDOWS
    smoothing: tuple[float, ...] = (2.0, 1.0)
    steps: int = 150
    points: int = 5_000
    regularizer_points: int = 250
    content_sampling: float = 0.0
    smoothness: float = 0.5
    inverse_consistency: float = 0.1
    latent_prior: float = 0.005
    diffusion: float = 0.0
    bending: float = 0.0
    folding: float = 0.0
    landmark_weight: float = 0.1
    landmark_scale: float = 2.0
    weights_learning_rate: float = 1e-3
    code_learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        if not self.smoothing or not all(0 <= s < math.inf for s in self.smoothing):
            raise ValueError(
                f"expected smoothing to be one number of voxels for each level, 0 or more, got "
                f"{self.smoothing}"
            )
        for name in ("steps", "points", "regularizer_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if self.regularizer_points > self.points:
            raise ValueError(
                f"expected regularizer_points of at most points, {self.points}, got "
                f"{self.regularizer_points}"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not 0 <= value < math.inf:
                raise ValueError(f"expected {field.name} of 0 or more, got {value}")
        if not 0 <= self.content_sampling < 1:
            raise ValueError(
                f"expected content_sampling of 0 or more and below 1, got {self.content_sampling}"
            )
        if not self.landmark_scale > 0:
            raise ValueError(f"expected landmark_scale of more than 0, got {self.landmark_scale}")
        if not self.local_windows or not all(0 < w < math.inf for w in self.local_windows):
            raise ValueError(
                f"expected local_windows to be numbers of voxels, more than 0, got "
                f"{self.local_windows}"
            )
        Similarity.of(self.similarity, voxel=1.0)


@dataclass(frozen=True)
class Progress:
    """Where a registration stands after a step.

    Parameters
    ----------
    level, levels : int
        The resolution level, from 1, and how many there are.
    done, total : int
        Steps done and to do, over all levels.
    losses : dict of str to float
        The terms of the objective, unweighted, and their weighted sum ``total``; dimensionless.
    """

    level: int
    levels: int
    done: int
    total: int
    losses: dict[str, float]


def optimise(
    deformation: Deformation,
    pair: ImagePair,
    settings: RegistrationSettings,
    generator: torch.Generator,
    report: Callable[[Progress], None] | None = None,
) -> tuple[list[Progress], bool]:
    """Optimise a deformation in place, coarse to fine.

    A level that diverges starts again from where it began, with halved step sizes.

    Parameters
    ----------
    deformation : Deformation
        What to optimise; all its weights and its code are trained.
    pair : ImagePair
        The images.
    settings : RegistrationSettings
        How.
    generator : torch.Generator
        Draws the points.
    report : callable, optional
        Called after every step; may raise StopIteration to end it early.

    Returns
    -------
    history : list of Progress
        One entry a step.
    interrupted : bool
        Whether Ctrl-C or ``report`` ended it early.

    Raises
    ------
    RuntimeError
        If a level diverges in spite of smaller steps.
    """
    deformation.to(pair.device)
    similarity = Similarity.of(
        settings.similarity, voxel=pair.voxel_size, windows=settings.local_windows
    )
    compare = weighted(similarity.dissimilarity, pair.channel_weights)
    history: list[Progress] = []
    try:
        for level, smoothing in enumerate(settings.smoothing, start=1):
            images = pair.channels(smoothing, similarity.channels)
            start = [parameter.detach().clone() for parameter in deformation.parameters()]
            done = len(history)
            for retry in range(RETRIES + 1):
                steps = _level(deformation, pair, images, compare, settings, generator, 0.5**retry)
                reason = None
                for losses in steps:
                    reason = _divergence(losses)
                    if reason:
                        break
                    history.append(
                        Progress(
                            level=level,
                            levels=len(settings.smoothing),
                            done=len(history) + 1,
                            total=settings.steps * len(settings.smoothing),
                            losses=losses,
                        )
                    )
                    if report is not None:
                        report(history[-1])
                if reason is None:
                    break
                if retry < RETRIES:
                    logger.info("level %d diverged (%s): again with smaller steps", level, reason)
                del history[done:]
                with torch.no_grad():
                    for parameter, value in zip(deformation.parameters(), start, strict=True):
                        parameter.copy_(value)
            else:
                raise RuntimeError(
                    f"the optimisation diverged at level {level} in spite of smaller steps: "
                    f"{reason}; try a larger smoothness"
                )
    except (KeyboardInterrupt, StopIteration):
        return history, True
    _warn_if_worse(deformation, pair, images, compare, settings)
    return history, False


def _warn_if_worse(
    deformation: Deformation,
    pair: ImagePair,
    images: tuple[SampledImage, SampledImage],
    compare: Dissimilarity,
    settings: RegistrationSettings,
) -> None:
    """Warn when the images were more alike with the initial transform alone, at the same points."""
    fixed, moving = images
    (coords, _), (weights, _) = pair.sample(settings.points, 0, torch.Generator().manual_seed(0))
    values, counts = fixed(coords)
    counts = counts if weights is None else counts * weights
    with torch.no_grad():
        moved = deformation.field(coords, deformation.code)
        before, after = (
            float(compare(values, other, counts * in_moving))
            for other, in_moving in (moving(coords), moving(moved))
        )
    if after > before + WORSE * (1 + abs(before)):
        warnings.warn(
            f"the images are less alike than before: dissimilarity {before:.4g} after the initial "
            f"transform alone, {after:.4g} after the registration; a larger smoothness, or another "
            "initial transform or similarity may help",
            stacklevel=4,
        )


def _divergence(losses: dict[str, float]) -> str | None:
    for name, value in losses.items():
        if not math.isfinite(value):
            return f"{name} is {value}"
    if losses["gradient_inverse_consistency"] > DIVERGED:
        return f"gradient_inverse_consistency is {losses['gradient_inverse_consistency']:.2f}"
    return None


def _level(
    deformation: Deformation,
    pair: ImagePair,
    images: tuple[SampledImage, SampledImage],
    compare: Dissimilarity,
    settings: RegistrationSettings,
    generator: torch.Generator,
    step_scale: float,
) -> Iterator[dict[str, float]]:
    """Take the steps of one level, yielding the losses before each is taken."""
    optimizer = torch.optim.Adam(
        [
            {"params": deformation.weights(), "lr": step_scale * settings.weights_learning_rate},
            {
                "params": list(deformation.code.parameters()),
                "lr": step_scale * settings.code_learning_rate,
            },
        ],
        fused=pair.device.type == "cpu",
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        coords, weights = pair.sample(settings.points, settings.content_sampling, generator)
        losses = objective(
            deformation.field,
            deformation.inverse_field,
            deformation.code,
            images,
            coords,
            dissimilarity=compare,
            point_weights=weights,
            landmarks=pair.landmarks,
            regularizer_points=settings.regularizer_points,
            voxel=pair.domain.voxel_size / pair.domain.scale,
            smoothness=settings.smoothness,
            inverse_consistency=settings.inverse_consistency,
            prior=settings.latent_prior,
            landmark_weight=settings.landmark_weight,
            diffusion=settings.diffusion,
            bending=settings.bending,
            folding=settings.folding,
        )
        optimizer.zero_grad()
        torch.autograd.backward(losses["total"])
        yield {name: float(loss.detach()) for name, loss in losses.items()}
        optimizer.step()
        schedule.step()
