"""What a registration returns, and where it stands after each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from itk_nephi.registration.settings import RegistrationSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Registration:
    """What :func:`register` found.

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
        What was asked for.
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

    def plot(self, fixed: Any, moving: Any, fixed_mask: Any = None) -> Figure:
        """Draw it as a matplotlib figure, see :func:`itk_nephi.visualization.draw_overview`."""
        from itk_nephi.visualization.overview import draw_overview

        transforms = self.fixed_to_moving, self.initial_transform
        return draw_overview(fixed, moving, *transforms, self.history, fixed_mask=fixed_mask)

    def _repr_html_(self) -> str:
        from itk_nephi.visualization.notebook import registration_html

        return registration_html(self)


@dataclass(frozen=True)
class Progress:
    """Where a registration stands after a step.

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
    """

    level: int
    levels: int
    done: int
    total: int
    losses: dict[str, float]
    left: int = 0
