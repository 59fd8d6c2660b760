"""Features of an image for the dissimilarity: smoothed or standardized intensities, MIND-SSC.

Each function maps an image to channels on its own grid, once for each level.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from itk_nephi.fields.filters import QUANTILE_VOXELS, gaussian
from itk_nephi.fields.threads import torch_threads
from itk_nephi.losses.settings import WINDOWS
from itk_nephi.spatial.domain import ImageDomain

QUANTILES = (0.005, 0.995)
"""The shares of the voxels at or below the intensities that become 0 and 1."""

FeatureMap = Callable[[Tensor, Tensor | None, ImageDomain, float], Tensor]
"""From an image, its mask, their grid and the smoothing to channels, as :func:`channels`."""


def channels(
    image: Tensor,
    mask: Tensor | None,
    domain: ImageDomain,
    smoothing: float,
    windows: tuple[float, ...] = WINDOWS,
) -> Tensor:
    """Smooth an image, and standardize it by its local mean and deviation.

    The correlation of locally standardized intensities stands in for the local correlation, which
    scattered points cannot measure.

    Parameters
    ----------
    image : Tensor, shape (1, 1, k, j, i)
        Intensities.
    mask : Tensor, shape (1, 1, k, j, i), optional
        Weights of the voxels in the statistics, in [0, 1]; 1 everywhere when left out.
    domain : ImageDomain
        The image's grid.
    smoothing : float
        Standard deviation of the Gaussian, voxels.
    windows : tuple of float
        Standard deviations of the local windows, voxels.

    Returns
    -------
    Tensor, shape (1, 1 + windows, k, j, i)
        The smoothed intensities, then the locally standardized ones; dimensionless.
    """
    inside = torch.ones_like(image) if mask is None else mask
    smooth = standardized(image, mask, domain, smoothing)
    local = []
    for window in windows:
        weight = gaussian(inside, domain, window).clamp(min=1e-3)
        local_mean = gaussian(smooth * inside, domain, window) / weight
        local_square = gaussian(smooth.square() * inside, domain, window) / weight
        local_deviation = (local_square - local_mean.square()).clamp(min=0).sqrt()
        # the constant, a fiftieth of the global deviation, keeps flat regions from becoming noise
        local.append((smooth - local_mean) / (local_deviation + 0.02) * (inside > 0))
    return torch.cat([smooth, *local], dim=1)


def smoothed(image: Tensor, _mask: Tensor | None, domain: ImageDomain, smoothing: float) -> Tensor:
    """Smooth an image in the units of its intensities; arguments as for :func:`channels`."""
    return gaussian(image, domain, smoothing)


def standardized(
    image: Tensor, mask: Tensor | None, domain: ImageDomain, smoothing: float
) -> Tensor:
    """Standardize an image to zero mean and unit variance inside its mask, and smooth it.

    Arguments as for :func:`channels`.
    """
    inside = torch.ones_like(image) if mask is None else mask
    count = _total(inside)
    mean = _total(image * inside) / count
    deviation = _total((image - mean).square() * inside).div(count).sqrt()
    return gaussian((image - mean) / deviation.clamp(min=1e-12), domain, smoothing)


def rescaled(image: Tensor, mask: Tensor | None, domain: ImageDomain, smoothing: float) -> Tensor:
    """Smooth an image and map its intensities inside the mask to [0, 1], outliers to 0 or 1.

    Arguments as for :func:`channels`.
    """
    smooth = gaussian(image, domain, smoothing)
    values = (smooth if mask is None else smooth[mask > 0]).flatten()
    values = values[:: -(-len(values) // QUANTILE_VOXELS)]
    low, high = (float(q) for q in np.quantile(values.cpu().numpy(), QUANTILES))
    return ((smooth - low) / max(high - low, 1e-12)).clamp(0, 1)


def self_similarity(
    image: Tensor,
    mask: Tensor | None,
    domain: ImageDomain,
    smoothing: float,
    voxel: float | None = None,
) -> Tensor:
    r"""MIND-SSC: describe each voxel by the self-similarity of the patches around it.

    .. math:: \exp(-(D_{ab} - \min D) / \overline{D})

    for each two neighbors a, b that are not opposite, where D is the mean square difference of
    their patches. The neighbors lie along the physical axes, as far away as the smoothing's
    deviation, and at least a voxel; the Gaussian window of a patch, and the smoothing itself, are
    half as wide. The descriptor does not change with contrast, even inverted, but it turns with the
    image.

    Parameters
    ----------
    image, mask, domain, smoothing
        As for :func:`channels`.
    voxel : float, optional
        The unit of the smoothing and of the neighbors' distance, mm, for images whose grids
        differ; by default the voxel size of ``domain``.

    Returns
    -------
    Tensor, shape (1, 12, k, j, i), in 2D (1, 4, j, i)
        In (0, 1]; dimensionless.

    References
    ----------
    Heinrich et al., Towards realtime multimodal fusion for image-guided interventions using
    self-similarities, MICCAI 2013.
    """
    unit = (voxel or domain.voxel_size) / domain.voxel_size
    reach = max(smoothing, 1.0) * unit
    smooth = gaussian(standardized(image, mask, domain, 0.0), domain, smoothing * unit / 2)
    inside = torch.ones_like(image) if mask is None else (mask > 0).to(image)
    steps = [sign * axis for axis in np.eye(domain.dimension) for sign in (-1.0, 1.0)]
    shifted = [
        _shifted(torch.cat([smooth, inside], dim=1), domain, reach * domain.voxel_size * step)
        for step in steps
    ]
    distances = []
    for one, other in combinations(range(len(steps)), 2):
        if steps[one] @ steps[other] == 0:
            difference = shifted[one][:, :1] - shifted[other][:, :1]
            count = shifted[one][:, 1:] * shifted[other][:, 1:]
            weight = gaussian(count, domain, reach / 2).clamp(min=1e-3)
            distances.append(gaussian(difference.square() * count, domain, reach / 2) / weight)
    distance = torch.cat(distances, dim=1)
    mean = distance.mean(dim=1, keepdim=True)
    # as published: a flat region is no more self-similar than a thousandth of the average
    typical = _total(mean * inside) / _total(inside)
    mean = mean.clamp(min=1e-3 * float(typical) + 1e-12)
    return (-(distance - distance.amin(dim=1, keepdim=True)) / mean).exp()


def edges(image: Tensor, mask: Tensor | None, domain: ImageDomain, smoothing: float) -> Tensor:
    """Return the gradient's magnitude of the smoothed, standardized image, 1 / voxel.

    Arguments as for :func:`channels`.
    """
    smooth = standardized(image, mask, domain, smoothing)
    spacing = [s / domain.voxel_size for s in reversed(domain.spacing)]
    axes = list(range(2, image.ndim))
    gradient = torch.gradient(smooth, spacing=spacing, dim=axes)
    return torch.stack(gradient).square().sum(dim=0).sqrt()


def _total(values: Tensor) -> Tensor:
    """Return the sum, by one thread, since rounding errors depend on the number of threads."""
    with torch_threads(1):
        return values.sum()


def _shifted(image: Tensor, domain: ImageDomain, step: np.ndarray) -> Tensor:
    """Return an image shifted by a physical step, mm, clamped at the border."""
    unit = np.array(domain.direction).T @ step / domain.half_extent
    matrix = image.new_tensor(np.column_stack([np.eye(domain.dimension), unit]))
    position = F.affine_grid(matrix[None], list(image.shape), align_corners=True)
    return F.grid_sample(image, position, padding_mode="border", align_corners=True)
