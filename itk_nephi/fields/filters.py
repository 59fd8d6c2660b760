"""Gaussian smoothing of an image, isotropic in physical space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from itk_nephi.fields.threads import torch_threads
from itk_nephi.spatial.domain import ImageDomain

CUT = 4.0
"""Where a Gaussian is truncated, standard deviations."""

BLOCK = 32
"""How many rows of its banded matrix are multiplied together."""

QUANTILE_VOXELS = 2**20
"""How many voxels the quantiles of an image are computed from, at most."""


def gaussian(image: Tensor, domain: ImageDomain, deviation: float) -> Tensor:
    """Convolve with a Gaussian that is isotropic in physical space, cut off at the border.

    Each axis takes products with the blocks around the diagonal of a banded matrix, which dense
    products do fastest.

    Parameters
    ----------
    image : Tensor, shape (1, C, k, j, i)
        Values on the grid of ``domain``.
    domain : ImageDomain
        The grid.
    deviation : float
        Standard deviation, in edges of a cube as large as a voxel.
    """
    if deviation == 0:
        return image
    for axis, (size, spacing) in enumerate(zip(domain.size, domain.spacing, strict=True)):
        # rounded, so that the unit of length leaves no trace
        step = round(spacing / domain.voxel_size, 12)
        position = torch.arange(size, dtype=torch.float64) * step
        distance = (position[:, None] - position) / deviation
        weights = torch.exp(-distance.square() / 2).where(distance.abs() <= CUT, 0.0)
        matrix = (weights / weights.sum(dim=1, keepdim=True)).to(image)
        reach = math.ceil(CUT * deviation / step)
        values = image.reshape(-1, size, math.prod(domain.size[:axis]))
        if axis == 0:
            values = values.transpose(0, 2)  # one product of matrices, not many with a vector
        blurred = torch.empty_like(values)
        with torch_threads(1):
            for start in range(0, size, BLOCK):
                rows, columns = (
                    slice(max(start - around, 0), start + BLOCK + around) for around in (0, reach)
                )
                blurred[:, rows] = matrix[rows, columns] @ values[:, columns]
        image = (blurred.transpose(0, 2) if axis == 0 else blurred).reshape(image.shape)
    return image
