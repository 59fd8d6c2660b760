"""Linear interpolation of values on a grid, corners aligned, clamped at the border."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

CPU_PARTS = 4


def sample_grid(values: Tensor, position: Tensor) -> Tensor:
    """Interpolate a grid of channels.

    Parameters
    ----------
    values : Tensor, shape (1, C, k, j, i)
        The grid.
    position : Tensor, shape (N, D)
        Positions in the grid: -1 and 1 are the first and the last vertex of an axis; i first.

    Returns
    -------
    Tensor, shape (N, C)
    """
    count, dimension = position.shape
    # on a CPU each thread takes whole batches, so the points are cut into a few
    parts = CPU_PARTS if count % CPU_PARTS == 0 else 1
    sampled = F.grid_sample(
        values.expand(parts, *values.shape[1:]),
        position.view(parts, *(1,) * (dimension - 1), -1, dimension),
        padding_mode="border",
        align_corners=True,
    )
    return sampled.reshape(parts, values.shape[1], -1).transpose(1, 2).flatten(0, 1)


def sample_grid_with_derivatives(values: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate a grid, with the derivatives; both can be differentiated again.

    Parameters
    ----------
    values : Tensor, shape (k, j, i, C)
        The grid.
    position : Tensor, shape (N, D)
        As in :func:`sample_grid`.

    Returns
    -------
    value : Tensor, shape (N, C)
    derivatives : Tensor, shape (D, N, C)
        With respect to each component of the position, in the cell that holds it.
    """
    dimension = position.shape[1]
    last = position.new_tensor(values.shape[-2::-1]) - 1
    index = torch.minimum(((position + 1) / 2 * last).clamp(min=0), last)
    corner = torch.minimum(index.detach().floor(), last - 1)
    fraction = index - corner
    weights = torch.stack([1 - fraction, fraction], dim=-1)
    slopes = torch.stack([-last / 2, last / 2], dim=-1)
    jets = [weights]
    for axis in range(dimension):
        jets.append(
            torch.cat(
                [
                    weights[:, :axis],
                    slopes[axis].expand(len(position), 1, 2),
                    weights[:, axis + 1 :],
                ],
                dim=1,
            )
        )
    products = torch.stack([_products(jet) for jet in jets], dim=1)

    steps = torch.tensor(list(product((0, 1), repeat=dimension)), device=position.device).flip(1)
    strides = torch.tensor(values[..., 0].contiguous().stride()[::-1], device=position.device)
    vertices = (corner.long()[:, None, :] + steps).mul(strides).sum(-1)
    found = products @ F.embedding(vertices, values.flatten(0, -2))
    return found[:, 0], found[:, 1:].movedim(1, 0)


def _products(weights: Tensor) -> Tensor:
    """Multiply one of two weights of each axis in all ways: (N, D, 2) to (N, 2^D), i fastest."""
    products = weights[:, -1]
    for axis in range(weights.shape[1] - 2, -1, -1):
        products = (products[:, :, None] * weights[:, axis, None, :]).flatten(1)
    return products
