"""An image at one resolution: interpolated linearly, with weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from itk_nephi.spatial.domain import Array


@dataclass(frozen=True, eq=False)
class Level:
    """An image at one resolution.

    Parameters
    ----------
    values : array, shape (C, k, j, i)
        Channels, from 0 to 1.
    weights : array, shape (k, j, i)
        The weight of each voxel, from 0 to 1.
    spacing, origin : array, shape (D,)
        Distance and first of the voxel centers along the image's own axes, normalized coordinates.
    most_points : int
        How many voxels, at most, are compared with the other image.
    """

    values: Array
    weights: Array
    spacing: Array
    origin: Array
    most_points: int

    @property
    def center(self) -> Array:
        """The middle of the voxel centers, normalized coordinates."""
        center: Array = self.origin + self.spacing * (np.array(self.weights.shape[::-1]) - 1) / 2
        return center

    @property
    def corners(self) -> Array:
        """The outermost voxel centers, shape (D, 2^D), normalized coordinates."""
        last = self.origin + self.spacing * (np.array(self.weights.shape[::-1]) - 1)
        return np.array(list(product(*zip(self.origin, last, strict=True)))).T

    @cached_property
    def points(self) -> Array:
        """Points that are compared, shape (D, N): one in each voxel, or in some, not its center.

        At the centers, interpolation would leave noise as it is where the other grid coincides, and
        smooth it elsewhere; maps between voxels would seem better.
        """
        inside = np.flatnonzero(self.weights > 0)
        rng = np.random.default_rng(0)
        if len(inside) > self.most_points:
            inside = np.sort(rng.choice(inside, self.most_points, replace=False))
        last = np.array(self.weights.shape[::-1])[:, None] - 1
        index = np.array(np.unravel_index(inside, self.weights.shape)[::-1])
        index = np.clip(index + rng.uniform(-0.5, 0.5, index.shape), 0, last)
        points: Array = index * self.spacing[:, None] + self.origin[:, None]
        return points

    @cached_property
    def point_weights(self) -> Array:
        """Their weights, shape (N,), of mean 1."""
        found = self._at_points[0][0].imag
        weights: Array = found / found.mean()
        return weights

    @cached_property
    def residuals(self) -> Array:
        """What the means leave unexplained, shape (C, N), of mean square 1."""
        values = np.array([value.real for value, _ in self._at_points])
        values -= (values * self.point_weights).mean(axis=1, keepdims=True)
        variance = (values**2 * self.point_weights).mean(axis=1, keepdims=True)
        residuals: Array = values / np.sqrt(np.maximum(variance, 1e-30))
        return residuals

    @cached_property
    def _at_points(self) -> list[tuple[Array, Array]]:
        return self.sample(self.points)

    @cached_property
    def _padded(self) -> list[Array]:
        """Channels as real and weights as imaginary parts, with a rim of weight 0."""
        weights = np.pad(self.weights, 1)
        return [
            np.ascontiguousarray(np.pad(channel, 1, mode="edge") + 1j * weights).ravel()
            for channel in self.values
        ]

    def sample(self, points: Array) -> list[tuple[Array, Array]]:
        """Interpolate linearly.

        Parameters
        ----------
        points : array, shape (D, N)
            Normalized coordinates.

        Returns
        -------
        list of tuple
            For each channel what is found, shape (N,), and its gradient, shape (D, N), complex:
            the intensity and, as imaginary part, the weight; both 0 outside the image.
        """
        shape = np.array(self.weights.shape[::-1]) + 2
        position = (points - self.origin[:, None]) / self.spacing[:, None] + 1
        cell = np.clip(np.floor(position), 0, shape[:, None] - 2)
        fraction = position - cell
        inside = ((fraction >= 0) & (fraction <= 1)).all(axis=0)
        fraction = np.where(inside, fraction, 0.0)
        strides = np.concatenate([[1], np.cumprod(shape[:-1])])
        offsets = np.array(list(product((0, 1), repeat=len(shape))))[:, ::-1] @ strides
        corners = (strides @ cell).astype(np.intp) + offsets[:, None]
        found = []
        for padded in self._padded:
            value, gradient = _interpolated(padded.take(corners), fraction)
            gradient /= self.spacing[:, None]
            found.append((value * inside, gradient * inside))
        return found


def _interpolated(corners: Array, fraction: Array) -> tuple[Array, Array]:
    """Interpolate from the corners of cells, the x axis changing first; also the gradient."""
    gradient: list[Array] = []
    for along in fraction:
        steps = corners[1::2] - corners[::2]
        corners = corners[::2] + along * steps
        gradient = [part[::2] + along * (part[1::2] - part[::2]) for part in gradient]
        gradient.append(steps)
    return corners[0], np.concatenate(gradient)
