"""An image at one resolution: interpolated linearly, with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from itk_nephi.spatial.compiled_module import compiled_module
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
        found = self._at_points[0, 0].imag
        weights: Array = found / found.mean()
        return weights

    @cached_property
    def residuals(self) -> Array:
        """What the means leave unexplained, shape (C, N), of mean square 1."""
        values = self._at_points[:, 0].real.copy()
        values -= (values * self.point_weights).mean(axis=1, keepdims=True)
        variance = (values**2 * self.point_weights).mean(axis=1, keepdims=True)
        residuals: Array = values / np.sqrt(np.maximum(variance, 1e-30))
        return residuals

    @cached_property
    def _at_points(self) -> Array:
        return self.sample(self.points)

    @cached_property
    def _padded(self) -> Array:
        """Channels as real and weights as imaginary parts, with a rim of weight 0."""
        weights = np.pad(self.weights, 1)
        rims = [np.pad(channel, 1, mode="edge") for channel in self.values]
        padded: Array = np.array(rims) + 1j * weights
        return padded

    def sample(self, points: Array) -> Array:
        """Interpolate linearly.

        Parameters
        ----------
        points : array, shape (D, N)
            Normalized coordinates.

        Returns
        -------
        array, shape (C, 1 + D, N)
            For each channel what is found, and its derivative along each axis, complex: the
            intensity and, as imaginary part, the weight; both 0 outside the image.
        """
        samples = np.empty((len(self.values), 1 + len(points), points.shape[1]), complex)
        self.call("SampleLevel", [], [], points, samples)
        return samples

    def call(
        self, name: str, sizes: Sequence[int], geometry: Sequence[float], *arrays: Array
    ) -> None:
        """Call a compiled function of a level, see ``src/itkNePhiCalls.h``.

        Parameters
        ----------
        name : str
            The function's, without what all share.
        sizes, geometry : sequence of numbers
            What follows those of the level.
        *arrays : array
            Points, shape (D, N), and what else the function takes, of double precision.
        """
        points = arrays[0]
        dimension = len(points)
        function = getattr(compiled_module(), f"NePhi{name}{dimension}")
        padded = self._padded
        held = [np.ascontiguousarray(array) for array in (padded, *arrays)]
        function(
            [*padded.shape[:0:-1], len(padded), points.shape[1], *sizes],
            [*self.spacing.tolist(), *(self.origin - self.spacing).tolist(), *geometry],
            *(array.__array_interface__["data"][0] for array in held),
        )
