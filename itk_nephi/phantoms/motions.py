"""Smooth motions of points with a known inverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from itk_nephi.spatial.domain import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    r"""Moves points along one axis, by an amount that fades with their other components.

    .. math:: x_a + r \, (\tanh((x_a - c_a) / w_a) + b), \qquad
        r = amount \exp(-\sum_{j \ne a} ((x_j - c_j) / w_j)^2)

    is monotone in :math:`x_a`, hence invertible, where :math:`r > -w_a`.
    """

    axis: int
    amount: float
    center: Array
    widths: Array
    bias: float

    def forward(self, points: Array) -> Array:
        """Move points, shape (..., D), mm."""
        offset = (points - self.center) / self.widths
        moved = points.copy()
        moved[..., self.axis] += self._rate(offset) * (np.tanh(offset[..., self.axis]) + self.bias)
        return moved

    def inverse(self, points: Array) -> Array:
        """Move points back, up to rounding errors."""
        offset = (points - self.center) / self.widths
        rate = self._rate(offset) / self.widths[self.axis]
        target = offset[..., self.axis] - rate * self.bias
        along = target
        for _ in range(10):  # Newton, from centimeters to rounding errors
            profile = np.tanh(along)
            along = along - (along + rate * profile - target) / (1 + rate * (1 - profile**2))
        moved = points.copy()
        moved[..., self.axis] = self.center[self.axis] + self.widths[self.axis] * along
        return moved

    def _rate(self, offset: Array) -> Array:
        squares = np.square(offset).sum(axis=-1) - np.square(offset[..., self.axis])
        rate: Array = self.amount * np.exp(-squares)
        return rate


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """Stretches, one after another."""

    stretches: Sequence[Stretch]

    @classmethod
    def reaching(cls, motion: float, points: Array, stretches: Sequence[Stretch]) -> Motion:
        """Scale the stretches until the largest displacement of the points is ``motion``, mm."""
        scale = motion
        for _ in range(8):
            scaled = [replace(stretch, amount=scale * stretch.amount) for stretch in stretches]
            result = cls(stretches=scaled)
            displacement = np.linalg.norm(result.fixed_to_moving(points) - points, axis=-1)
            scale *= motion / max(displacement.max(), 1e-9)
        return result

    def fixed_to_moving(self, points: Array) -> Array:
        """Map points of fixed to moving space, shape (..., D), mm."""
        for stretch in self.stretches:
            points = stretch.forward(points)
        return points

    def moving_to_fixed(self, points: Array) -> Array:
        """Map points of moving to fixed space, the inverse."""
        for stretch in reversed(self.stretches):
            points = stretch.inverse(points)
        return points
