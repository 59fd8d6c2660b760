"""The results of a registration, of a pair or of a series, and its progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.latent_code import InterpolatedCode
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.domain import Array
from itk_nephi.spatial.transforms import compose, flatten

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Registration:
    """The result of :func:`register`: transforms in both directions, and how they came about.

    Parameters
    ----------
    fixed_to_moving : itk.CompositeTransform
        Maps points of fixed space to moving space; what resampling the moving image needs.
    moving_to_fixed : itk.CompositeTransform
        Its approximate inverse: maps points of moving space to fixed space.
    initial_transform : itk.Transform
        The initial transform, fixed to moving, that is part of both.
    history : list of Progress
        One entry a step.
    settings : RegistrationSettings
        How it was registered.
    seed : int
        The seed of all random numbers.
    interrupted : bool
        Whether Ctrl-C or ``callback`` ended it early; the transforms are then what was reached.
    """

    fixed_to_moving: Any
    moving_to_fixed: Any
    initial_transform: Any
    history: list[Progress]
    settings: RegistrationSettings
    seed: int
    interrupted: bool

    def plot(self, fixed: Any, moving: Any, fixed_mask: Any = None) -> Image:
        """Draw it as a picture, which notebooks show; ``save`` writes it.

        Takes what :func:`register` does, the first of several images. See
        :func:`itk_nephi.visualization.draw_overview`.
        """
        from itk_nephi.registration.inputs import images_from, mask_from
        from itk_nephi.visualization.overview import draw_overview

        fixed, moving = images_from(fixed, "fixed")[0], images_from(moving, "moving")[0]
        fixed_mask = mask_from(fixed_mask, "fixed_mask", fixed)
        transforms = self.fixed_to_moving, self.initial_transform
        return draw_overview(fixed, moving, *transforms, self.history, fixed_mask=fixed_mask)

    def __repr__(self) -> str:
        return f"<Registration: {_steps(self.history, self.interrupted)}>"

    def _repr_html_(self) -> str:
        from itk_nephi.visualization.notebook import registration_html

        return registration_html(self)


@dataclass(frozen=True)
class Progress:
    """The progress of a registration after a step.

    Parameters
    ----------
    level, levels : int
        The resolution level, from 1, and how many there are.
    done, total : int
        Steps done and, as far as can be foreseen, in all, over all levels.
    losses : dict of str to float
        The terms of the objective, unweighted, and their weighted sum ``total``; dimensionless.
    left : int
        Steps left to do in this level.
    share : float
        How much of the work is done, from 0 to 1: steps that compare more points are more work.
    """

    level: int
    levels: int
    done: int
    total: int
    losses: dict[str, float]
    left: int = 0
    share: float = 0.0


@dataclass(frozen=True, repr=False)
class Series:
    """The result of :func:`register_series`: how a fixed image deforms, at any time.

    Parameters
    ----------
    times : tuple of float
        Those of the images, rising.
    knots : tuple of float
        The times between which the latent code changes linearly, rising.
    deformations : tuple of Deformation
        At the knots; all have the same two fields.
    initial_transform, inverse_initial_transform : itk.CompositeTransform
        The initial transform, from fixed to moving space, and its inverse: the same at all times.
    history, settings, seed, interrupted
        As of a :class:`itk_nephi.Registration`; the losses are means over the images.
    """

    times: tuple[float, ...]
    knots: tuple[float, ...]
    deformations: tuple[Deformation, ...]
    initial_transform: Any
    inverse_initial_transform: Any
    history: list[Progress]
    settings: RegistrationSettings
    seed: int
    interrupted: bool

    def __repr__(self) -> str:
        times = f"{len(self.times)} times from {self.times[0]:g} to {self.times[-1]:g}"
        return f"<Series: {times}, {_steps(self.history, self.interrupted)}>"

    def at(self, time: float) -> Registration:
        """Return the transforms between the fixed image and the subject at a time.

        Raises
        ------
        ValueError
            If the time is before the first knot or after the last.
        """
        if not self.knots[0] <= time <= self.knots[-1]:
            raise ValueError(
                f"expected a time from {self.knots[0]:g} to {self.knots[-1]:g}, got {time:g}"
            )
        transform = transform_from_deformation(deformation_at(self.deformations, self.knots, time))
        return Registration(
            fixed_to_moving=compose([transform, *flatten(self.initial_transform)]),
            moving_to_fixed=compose(
                [*flatten(self.inverse_initial_transform), transform.GetInverseTransform()]
            ),
            initial_transform=self.initial_transform,
            history=self.history,
            settings=self.settings,
            seed=self.seed,
            interrupted=self.interrupted,
        )


def _steps(history: Sequence[Progress], interrupted: bool) -> str:
    """Describe how an optimization went."""
    if not history:
        return "no steps"
    last = history[-1]
    ended = ", interrupted" if interrupted else ""
    return f"{len(history)} steps, total {last.losses['total']:.4g}{ended}"


def deformation_at(
    at_knots: Sequence[Deformation], knots: Sequence[float], time: float
) -> Deformation:
    """Return the deformation at a time, whose code is made of those of the knots around it."""
    later = int(np.searchsorted(knots, time))
    if knots[later] == time:
        return at_knots[later]
    first, second = at_knots[later - 1], at_knots[later]
    share = (time - knots[later - 1]) / (knots[later] - knots[later - 1])
    return replace(first, code=InterpolatedCode(first.code, second.code, share))


def knot_shares(times: Sequence[float], knots: Sequence[float]) -> Array:
    """Return the weights of the codes at K knots for each of T times, shape (T, K)."""
    return np.stack([np.interp(times, knots, unit) for unit in np.eye(len(knots))], axis=1)
