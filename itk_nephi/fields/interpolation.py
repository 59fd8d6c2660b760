"""Values on grids between their vertices: interpolated linearly, or a cubic B-spline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from itk_nephi.fields.device import constant

CPU_PARTS = 4


def sample_grid(values: Tensor, position: Tensor) -> Tensor:
    """Interpolate a grid of channels.

    Parameters
    ----------
    values : Tensor, shape (1, C, k, j, i)
        The grid.
    position : Tensor, shape (N, D)
        Positions in the grid: -1 and 1 are the first and the last vertex of an axis; i first. NaN
        is taken as -1.

    Returns
    -------
    Tensor, shape (N, C)
    """
    count, dimension = position.shape
    # on a CPU each thread takes whole batches, so the points are cut into a few
    parts = CPU_PARTS if count % CPU_PARTS == 0 and position.device.type == "cpu" else 1
    # in 2D, PyTorch's gradient reads memory out of bounds where a position is NaN
    position = position.nan_to_num(nan=-1.0, posinf=math.inf, neginf=-math.inf)
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
    last = constant(values.shape[-2::-1], position.dtype, position.device) - 1
    index = torch.minimum(((position + 1) / 2 * last).clamp(min=0), last)
    corner = torch.minimum(index.detach().floor(), last - 1)
    fraction = index - corner
    weights = torch.stack([1 - fraction, fraction], dim=-1)
    slopes = torch.stack([-last / 2, last / 2], dim=-1).expand_as(weights)
    found = _weighted_sums(values, corner, _with_slopes(weights, slopes))
    return found[:, 0], found[:, 1:].movedim(1, 0)


def sample_spline(coefficients: Tensor, position: Tensor) -> Tensor:
    """Evaluate a uniform cubic B-spline.

    Parameters
    ----------
    coefficients : Tensor, shape (k, j, i, C)
        Three more along each axis than there are cells; the second lies at the box's begin.
    position : Tensor, shape (N, D)
        Positions in the box, -1 to 1 along each axis; i first.

    Returns
    -------
    Tensor, shape (N, C)
    """
    cell, weights, _ = _spline_weights(coefficients, position)
    return _weighted_sums(coefficients, cell, [weights])[:, 0]


def sample_spline_with_derivatives(coefficients: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate a uniform cubic B-spline, with the derivatives; both can be differentiated again.

    Parameters
    ----------
    coefficients, position : Tensor
        As in :func:`sample_spline`.

    Returns
    -------
    value : Tensor, shape (N, C)
    derivatives : Tensor, shape (D, N, C)
        With respect to each component of the position.
    """
    cell, weights, slopes = _spline_weights(coefficients, position)
    found = _weighted_sums(coefficients, cell, _with_slopes(weights, slopes))
    return found[:, 0], found[:, 1:].movedim(1, 0)


def _spline_weights(coefficients: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells of positions, and along each axis four weights and their derivatives."""
    cells = constant(coefficients.shape[-2::-1], position.dtype, position.device) - 3
    index = (position + 1) / 2 * cells
    cell = torch.minimum(index.detach().floor().clamp(min=0), cells - 1)
    t = index - cell
    s = 1 - t
    near, far = t**2 * (t / 2 - 1) + 2 / 3, s**2 * (s / 2 - 1) + 2 / 3
    weights = torch.stack([s**3 / 6, near, far, t**3 / 6], dim=-1)
    near, far = t * (1.5 * t - 2), s * (2 - 1.5 * s)
    slopes = torch.stack([-(s**2) / 2, near, far, t**2 / 2], dim=-1)
    return cell, weights, slopes * (cells / 2)[:, None]


def _with_slopes(weights: Tensor, slopes: Tensor) -> list[Tensor]:
    """Return weights, (N, D, M), and the same with those of one axis differentiated, each axis."""
    return [weights] + [
        torch.cat([weights[:, :axis], slopes[:, axis : axis + 1], weights[:, axis + 1 :]], dim=1)
        for axis in range(weights.shape[1])
    ]


def _weighted_sums(values: Tensor, corner: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Sum the values at the M^D vertices from a corner on, with each of K weights: (N, K, C)."""
    dimension, count = weights[0].shape[1:]
    products = torch.stack([_products(each) for each in weights], dim=1)
    steps = tuple(each[::-1] for each in product(range(count), repeat=dimension))
    offsets = constant(steps, torch.int64, corner.device)
    strides = constant(_strides(values.shape[:-1]), torch.int64, corner.device)
    vertices = (corner.nan_to_num().long()[:, None, :] + offsets).mul(strides).sum(-1)
    return products @ F.embedding(vertices, values.flatten(0, -2))


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return how far apart neighbors lie in a grid of shape (k, j, i), i first."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in reversed(range(len(shape))))


def _products(weights: Tensor) -> Tensor:
    """Multiply one of M weights of each axis in all ways: (N, D, M) to (N, M^D), i fastest."""
    products = weights[:, -1]
    for axis in range(weights.shape[1] - 2, -1, -1):
        products = (products[:, :, None] * weights[:, axis, None, :]).flatten(1)
    return products
