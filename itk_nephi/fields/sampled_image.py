"""Images as tensors of voxels, interpolated at coords of a field's domain."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from itk_nephi.fields.device import constant
from itk_nephi.fields.interpolation import sample_grid
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain

ROUNDING = 2e-6
"""How far outside an image points count as inside, in halves of its edges: single precision leads
points of outermost voxels out, with few slices all of one."""


@dataclass(frozen=True)
class SampledTransform:
    """A differentiable map of physical points: affine, then a sampled displacement.

    Parameters
    ----------
    matrix : array, shape (D, D)
        The linear part, dimensionless.
    offset : array, shape (D,)
        The constant part, mm.
    displacement : array, shape (k, j, i, D), optional
        The displacement that the map adds to its affine part, mm, on ``grid``.
    grid : ImageDomain, optional
        Where ``displacement`` is sampled.
    """

    matrix: Array
    offset: Array
    displacement: Array | None = None
    grid: ImageDomain | None = None


def tensor_from_image(image: Any) -> Tensor:
    """Return the voxels of a scalar ``itk.Image`` as a float32 tensor of shape (1, 1, k, j, i)."""
    values = np.array(itk.array_view_from_image(image), dtype=np.float32)
    return torch.from_numpy(values)[None, None]


class _Grid:
    """Values on a grid, sampled at coords of another domain through an affine map of points."""

    def __init__(
        self, values: Tensor, grid: ImageDomain, domain: ImageDomain, matrix: Array, offset: Array
    ) -> None:
        # grid_sample runs from -1 to 1 between the first and the last voxel center
        to_unit = np.array(grid.direction).T / grid.half_extent[:, None]
        to_points = domain.scale * np.array(domain.direction)
        # channels innermost, so that those of a voxel come from memory together
        last = {4: torch.channels_last, 5: torch.channels_last_3d}[values.ndim]
        self.values = values.contiguous(memory_format=last)
        offset = matrix @ domain.center + offset - grid.center
        # rounded, so that where the images lie in space leaves no trace in single precision
        self.matrix, self.offset = (
            constant(_tuples(np.round(each, 10)), values.dtype, values.device)
            for each in (to_unit @ matrix @ to_points, to_unit @ offset)
        )

    def position(self, coords: Tensor) -> Tensor:
        return torch.addmm(self.offset, coords, self.matrix.T)


def _tuples(values: Array) -> tuple[Any, ...]:
    return tuple(row if values.ndim == 1 else tuple(row) for row in values.tolist())


class SampledImage:
    """Channels of an image, interpolated linearly at coords of the field's domain.

    Parameters
    ----------
    values : Tensor, shape (1, C, k, j, i)
        The channels.
    grid : ImageDomain
        The grid of ``values``.
    domain : ImageDomain
        The domain whose coords are asked for.
    space_map : SampledTransform, optional
        The map from the points of ``domain`` to those of ``grid``; the identity when left out.
    """

    def __init__(
        self,
        values: Tensor,
        grid: ImageDomain,
        domain: ImageDomain,
        space_map: SampledTransform | None = None,
    ) -> None:
        identity = SampledTransform(np.eye(domain.dimension), np.zeros(domain.dimension))
        space_map = space_map or identity
        self._image = _Grid(values, grid, domain, space_map.matrix, space_map.offset)
        self._displacement: _Grid | None = None
        if space_map.displacement is not None and space_map.grid is not None:
            # in the units of the image's own grid, so that it is simply added
            shift = space_map.displacement @ np.array(grid.direction) / grid.half_extent
            self._displacement = _Grid(
                values.new_tensor(np.moveaxis(shift, -1, 0)[None]),
                space_map.grid,
                domain,
                identity.matrix,
                identity.offset,
            )

    @property
    def values(self) -> Tensor:
        """The channels, shape (1, C, k, j, i)."""
        return self._image.values

    def channel(self, number: int) -> SampledImage:
        """Return one of the channels, sampled alike."""
        found = copy(self)
        found._image = copy(self._image)
        found._image.values = self._image.values[:, number : number + 1].contiguous()
        return found

    def index_map(self) -> tuple[Array, Array] | None:
        """Return the matrix and the offset that map coords to the grid's indices, if that suffices.

        None where a sampled displacement comes on top.
        """
        if self._displacement is not None:
            return None
        half = (np.array(self.values.shape[:1:-1]) - 1) / 2
        matrix, offset = (t.double().numpy() for t in (self._image.matrix, self._image.offset))
        return half[:, None] * matrix, half * (offset + 1)

    def __call__(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Interpolate the channels.

        Parameters
        ----------
        coords : Tensor, shape (N, D)
            Coords of the field's domain.

        Returns
        -------
        values : Tensor, shape (N, C)
            The channels; beyond the image those of its nearest voxel.
        inside : Tensor, shape (N,)
            1 where the point lies in the image, else 0.
        """
        position = self._image.position(coords)
        shift = self._displacement
        if shift is not None:
            position = position + sample_grid(shift.values, shift.position(coords))
        inside = (position.detach().abs() <= 1 + ROUNDING).all(dim=1).to(position.dtype)
        return sample_grid(self._image.values, position), inside
