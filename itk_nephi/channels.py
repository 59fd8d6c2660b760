"""The channels of an image that the dissimilarity compares: smoothed, and locally standardised."""

from __future__ import annotations

import torch
from torch import Tensor

from itk_nephi.domain import ImageDomain

WINDOW = 2.0
"""Standard deviation of the local window, in voxels or, if larger, in that of the smoothing."""


def channels(image: Tensor, mask: Tensor | None, domain: ImageDomain, smoothing: float) -> Tensor:
    """Smooth an image, and standardise it by its local mean and deviation.

    The correlation of locally standardised intensities stands in for the local correlation, which
    scattered points cannot measure.

    Parameters
    ----------
    image : Tensor, shape (1, 1, k, j, i)
        Intensities.
    mask : Tensor, shape (1, 1, k, j, i), optional
        1 where intensities count for the local statistics, else 0; everywhere when left out.
    domain : ImageDomain
        The image's grid.
    smoothing : float
        Standard deviation of the Gaussian, voxels.

    Returns
    -------
    Tensor, shape (1, 2, k, j, i)
        The smoothed intensities, then the locally standardised ones; dimensionless.
    """
    inside = torch.ones_like(image) if mask is None else mask
    count = inside.sum()
    mean = (image * inside).sum() / count
    deviation = (((image - mean) * inside).square().sum() / count).sqrt()
    smooth = gaussian((image - mean) / deviation.clamp(min=1e-12), domain, smoothing)

    weight = gaussian(inside, domain, WINDOW).clamp(min=1e-3)
    local_mean = gaussian(smooth * inside, domain, WINDOW) / weight
    local_square = gaussian(smooth.square() * inside, domain, WINDOW) / weight
    local_deviation = (local_square - local_mean.square()).clamp(min=0).sqrt()
    # the constant, a fiftieth of the global deviation, keeps flat regions from becoming noise
    standardised = (smooth - local_mean) / (local_deviation + 0.02) * inside
    return torch.cat([smooth, standardised], dim=1)


def gaussian(image: Tensor, domain: ImageDomain, deviation: float) -> Tensor:
    """Convolve with a Gaussian that is round in physical space, cut off at the border.

    Each axis is one product with a banded matrix, which a dense product does fastest.

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
    for axis, spacing in enumerate(domain.spacing):
        place = torch.arange(domain.size[axis], dtype=torch.float64) * spacing
        distance = (place[:, None] - place) / (deviation * domain.voxel_size)
        weights = torch.exp(-distance.square() / 2).where(distance.abs() <= 4, 0.0)
        matrix = (weights / weights.sum(dim=1, keepdim=True)).to(image)
        image = (image.movedim(-1 - axis, -1) @ matrix.T).movedim(-1, -1 - axis)
    return image.contiguous()
