"""Instance optimisation: the deformation of one image pair that minimises the objective."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from itk_nephi.channels import channels
from itk_nephi.domain import ImageDomain
from itk_nephi.image import SampledImage, SpaceMap, tensor_from_image
from itk_nephi.loss import objective
from itk_nephi.model import FieldSettings
from itk_nephi.transform import Deformation

logger = logging.getLogger(__name__)

RETRIES = 3
DIVERGED = 1.0
"""Gradient inverse consistency beyond which a level starts again with smaller steps."""


@dataclass(frozen=True, kw_only=True)
class RegistrationSettings:
    """How a pair is registered.

    Parameters
    ----------
    field : FieldSettings
        The sizes of the deformation fields and the latent code.
    smoothing : tuple of float
        Standard deviation of the images' Gaussian smoothing at each level, voxels, coarse to fine.
    steps : int
        Optimiser steps of each level.
    points : int
        Random points of each direction and step at which the images are compared.
    regularizer_points : int
        How many of these also serve the gradient inverse consistency.
    smoothness : float
        Weight of the gradient inverse consistency; larger is smoother, and closer to invertible.
    inverse_consistency : float
        Weight of the mean square distance, voxels^2, between a point and where both fields, one
        after the other, put it.
    latent_prior : float
        Weight of the latent prior.
    weights_learning_rate, code_learning_rate : float
        First step sizes of Adam, which fall to zero within each level along a cosine.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    field: FieldSettings = FieldSettings()
    smoothing: tuple[float, ...] = (2.0, 1.0)
    steps: int = 150
    points: int = 5_000
    regularizer_points: int = 250
    smoothness: float = 0.5
    inverse_consistency: float = 0.1
    latent_prior: float = 0.005
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


class ImagePair:
    """Two images brought together by an initial transform, sampled in the fixed domain's coords.

    Parameters
    ----------
    fixed, moving : itk.Image of float
        In canonical order.
    fixed_mask, moving_mask : itk.Image of unsigned char or None
        1 where the images are to be compared, on the grids of their images.
    initial : SpaceMap
        From fixed to moving space.
    device : torch.device
        Where to sample.

    Raises
    ------
    ValueError
        If the images or the masks do not overlap after the initial transform.
    """

    def __init__(
        self,
        *,
        fixed: Any,
        moving: Any,
        fixed_mask: Any,
        moving_mask: Any,
        initial: SpaceMap,
        device: torch.device,
    ) -> None:
        self.domain = ImageDomain.of(fixed)
        self.device = device
        self._initial = initial
        self._moving_domain = ImageDomain.of(moving)
        self._fixed, self._moving = (
            tensor_from_image(image).to(device) for image in (fixed, moving)
        )
        self._fixed_mask, self._moving_mask = (
            None if mask is None else tensor_from_image(mask).to(device)
            for mask in (fixed_mask, moving_mask)
        )
        seen = self._moving_seen_from_fixed()
        in_fixed = torch.ones_like(seen) if self._fixed_mask is None else self._fixed_mask[0, 0] > 0
        if not (seen & in_fixed).any():
            what = "images" if fixed_mask is None and moving_mask is None else "masks"
            raise ValueError(
                f"expected fixed and moving {what} that overlap after the initial transform, got "
                "nothing in common; give another initial transform"
            )
        self._fixed_voxels = None if fixed_mask is None else in_fixed.nonzero().flip(1)
        self._moving_voxels = None if moving_mask is None else seen.nonzero().flip(1)

    def channels(self, smoothing: float) -> tuple[SampledImage, SampledImage]:
        """Prepare what the dissimilarity compares, of the fixed and of the moving image.

        Parameters
        ----------
        smoothing : float
            Standard deviation of the Gaussian, voxels.
        """
        fixed = channels(self._fixed, self._fixed_mask, self.domain, smoothing)
        moving = channels(self._moving, self._moving_mask, self._moving_domain, smoothing)
        return (
            SampledImage(fixed, self.domain, self.domain),
            SampledImage(moving, self._moving_domain, self.domain, self._initial),
        )

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw coords uniformly, inside the fixed mask and inside the moving mask.

        Returns
        -------
        in_fixed, in_moving : Tensor, shape (count, D)
            Coords of the fixed domain. Those of the moving mask are where the inverse of the
            initial transform puts its points.
        """
        return (
            self._draw(self._fixed_voxels, count, generator),
            self._draw(self._moving_voxels, count, generator),
        )

    def _draw(self, voxels: Tensor | None, count: int, generator: torch.Generator) -> Tensor:
        bounds = torch.tensor(self.domain.bounds)
        position = torch.rand(count, self.domain.dimension, generator=generator)
        if voxels is None:
            return ((2 * position - 1) * bounds).to(self.device)
        chosen = torch.randint(len(voxels), (count,), generator=generator).to(self.device)
        index = voxels[chosen] + position.to(self.device) - 0.5
        return self._coords(index)

    def _coords(self, index: Tensor) -> Tensor:
        """Map continuous indices of the fixed image to coords, clamped to its box."""
        last = torch.tensor(self.domain.size, device=self.device) - 1
        bounds = torch.tensor(self.domain.bounds, device=self.device)
        return (2 * index / last - 1).clamp(-1, 1) * bounds

    def _moving_seen_from_fixed(self) -> Tensor:
        """Return for each fixed voxel whether it lies in the moving image and its mask."""
        mask = torch.ones_like(self._moving) if self._moving_mask is None else self._moving_mask
        sampled = SampledImage(mask, self._moving_domain, self.domain, self._initial)
        rows = []
        others = [torch.arange(n, device=self.device) for n in reversed(self.domain.size[:-1])]
        for last in range(self.domain.size[-1]):
            slab = torch.meshgrid(torch.tensor([last], device=self.device), *others, indexing="ij")
            index = torch.stack([axis.flatten() for axis in reversed(slab)], dim=1)
            values, inside = sampled(self._coords(index))
            rows.append((values[:, 0] > 0.5) & (inside > 0))
        return torch.stack(rows).view(*reversed(self.domain.size))


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
    history: list[Progress] = []
    try:
        for level, smoothing in enumerate(settings.smoothing, start=1):
            images = pair.channels(smoothing)
            start = [parameter.detach().clone() for parameter in deformation.parameters()]
            done = len(history)
            for retry in range(RETRIES + 1):
                steps = _level(deformation, pair, images, settings, generator, 0.5**retry)
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
    return history, False


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
        ]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        in_fixed, in_moving = pair.draw(settings.points, generator)
        losses = objective(
            deformation.field,
            deformation.inverse_field,
            deformation.code,
            images,
            (in_fixed, in_moving),
            regularizer_points=settings.regularizer_points,
            voxel=pair.domain.voxel_size / pair.domain.scale,
            smoothness=settings.smoothness,
            inverse_consistency=settings.inverse_consistency,
            prior=settings.latent_prior,
        )
        optimizer.zero_grad()
        torch.autograd.backward(losses["total"])
        yield {name: float(loss.detach()) for name, loss in losses.items()}
        optimizer.step()
        schedule.step()
