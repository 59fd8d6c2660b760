"""Slabs: images of so few slices that they are aligned within their planes alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from itk_nephi.alignment.rotations import small_rotations
from itk_nephi.spatial.domain import Array

FEW = 4
"""Slices that do not determine how an image moves, is tilted, sheared or scaled through them."""
PARALLEL = 0.999
"""Cosine of the angle between planes that are taken for parallel."""

Axes = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Slab:
    """Through which of their own axes two images have few slices; none unless both do alike.

    Parameters
    ----------
    fixed, moving : array of bool, shape (D,)
        The axes of each image. Nothing moves along those of the moving one.
    """

    fixed: Axes
    moving: Axes

    @classmethod
    def of(cls, sizes: tuple[Array, Array], start: Array) -> Slab:
        """Find the axes, given how many voxels images have and a map that is to be changed.

        Parameters
        ----------
        sizes : tuple of array, shape (D,)
            Of the fixed and the moving image.
        start : array, shape (D + 1, D + 1)
            From fixed to moving points.
        """
        fixed, moving = (size <= FEW for size in sizes)
        linear = np.abs(start[:-1, :-1]) / np.linalg.norm(start[:-1, :-1], axis=0)
        # the axes of the fixed image that lie along one of the moving image with few slices
        alike = (linear[moving] > PARALLEL).any(axis=0)
        if fixed.all() or fixed.sum() != moving.sum() or not (fixed <= alike).all():
            return cls(np.zeros_like(fixed), np.zeros_like(moving))
        return cls(fixed, moving)

    def __bool__(self) -> bool:
        """Return whether there are such axes."""
        return bool(self.moving.any())

    def turns(self, start: Array) -> Array:
        """Return linear maps, shape (N, D, D), that differ from that of a start within planes."""
        free = np.flatnonzero(~self.moving)
        inner = small_rotations(2) if len(free) == 2 else np.ones((1, 1, 1))
        turns = np.repeat(np.eye(len(start) - 1)[None], len(inner), axis=0)
        if len(free) == 2:
            turns[np.ix_(np.arange(len(inner)), free, free)] = inner
        linear: Array = turns @ start[:-1, :-1]
        return linear

    def within_planes(self, matrices: Array, starts: Collection[Array]) -> Array:
        """Return the maps that keep planes, moved so that they meet the same ones as with a start.

        Parameters
        ----------
        matrices : array, shape (N, D + 1, D + 1)
            From fixed to moving points; of those, maps that tilt or flip the slab are left out.
        starts : collection of array, shape (D + 1, D + 1)
            Each gives a map for each.
        """
        if not self:
            return matrices
        found = []
        for matrix in matrices:
            for start in starts:
                tilt = np.abs(matrix - start)[:-1, :-1][np.ix_(self.moving, self.fixed)].max()
                if tilt < 1 - PARALLEL:
                    kept = matrix.copy()
                    kept[:-1][self.moving, -1] = start[:-1][self.moving, -1]
                    found.append(kept)
        return np.array(found).reshape(-1, *matrices.shape[1:])

    def held(self, generators: Array) -> Array:
        """Return a basis, shape (K, D + 1, D + 1), of infinitesimal motions within planes."""
        within: Array = generators.copy()
        within[:, :-1][:, self.moving] = 0
        within[:, :, :-1][:, :, self.moving] = 0
        kept: Array = within[np.abs(within).sum(axis=(1, 2)) > 0]
        return kept
