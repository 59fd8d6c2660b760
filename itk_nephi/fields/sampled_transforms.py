"""ITK transforms without a closed form, sampled on grids: made differentiable, and inverted."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch

from itk_nephi.fields.sampled_image import SampledImage, SampledTransform
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import (
    displacement_field_transform,
    to_displacement_field,
    vector_image,
)
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.transforms import flatten, matrix_and_offset

GRID_POINTS = 64
"""Points along an axis where a transform has to be sampled."""

INVERSE_ITERATIONS = 30


def sample_transform(transform: Any, domain: ImageDomain) -> SampledTransform:
    """Make a differentiable map of an ITK transform, sampled where it is not linear.

    Parameters
    ----------
    transform : itk.Transform
        From the points of ``domain``.
    domain : ImageDomain
        Where it is sampled.
    """
    if transform.IsLinear():
        return SampledTransform(*matrix_and_offset(transform))
    grid = _sampling_grid(domain)
    return SampledTransform(
        np.eye(domain.dimension),
        np.zeros(domain.dimension),
        _sampled_displacement(transform, grid),
        grid,
    )


def inverse_transforms(transform: Any, domain: ImageDomain, image_domain: ImageDomain) -> list[Any]:
    """Return the inverse of a transform as a list, the one applied first first.

    A transform that ITK cannot invert is sampled on a grid and inverted there by fixed-point
    iteration.

    Parameters
    ----------
    transform : itk.Transform
        From the points of ``domain`` to those of ``image_domain``.
    domain, image_domain : ImageDomain
        The images that it relates.
    """
    inverses = []
    for part in reversed(flatten(transform)):
        inverse = part.GetInverseTransform()
        if inverse is None:
            inverse = _sampled_inverse(part, _sampling_grid(_joined(domain, image_domain)))
        inverses.append(itk.down_cast(inverse))
    return inverses


def _sampling_grid(domain: ImageDomain) -> ImageDomain:
    """Return a grid over the same box with at most ``GRID_POINTS`` points along each axis."""
    size = [min(n, GRID_POINTS) for n in domain.size]
    spacing = 2 * domain.half_extent / (np.array(size) - 1)
    return ImageDomain(tuple(size), tuple(spacing.tolist()), domain.origin, domain.direction)


def _joined(one: ImageDomain, other: ImageDomain) -> ImageDomain:
    """Return a grid along the physical axes that holds both boxes."""
    dimension = one.dimension
    corners = np.array(list(product((-1.0, 1.0), repeat=dimension)))
    points = np.concatenate([d.points_from_coords(corners * d.bounds) for d in (one, other)])
    low, high = points.min(axis=0), points.max(axis=0)
    return ImageDomain(
        (GRID_POINTS,) * dimension,
        tuple(((high - low) / (GRID_POINTS - 1)).tolist()),
        tuple(low.tolist()),
        tuple(tuple(row) for row in np.eye(dimension).tolist()),
    )


def _sampled_displacement(transform: Any, grid: ImageDomain) -> Array:
    """Return the displacement of each point of a grid, mm, shape (k, j, i, D)."""
    field = to_displacement_field(transform, _blank(grid))
    displacement: Array = itk.array_from_image(field).astype(np.float64)
    return displacement


def _blank(grid: ImageDomain) -> Any:
    return image_from_array(np.zeros(grid.size[::-1], np.uint8), grid)


def _sampled_inverse(transform: Any, grid: ImageDomain) -> Any:
    """Invert a transform where it moves points to the points of a grid."""
    displacement = _sampled_displacement(transform, grid)
    channels = torch.from_numpy(np.moveaxis(displacement, -1, 0)[None].copy())
    sampled = SampledImage(channels, grid, grid)
    points = grid.grid_points().reshape(-1, grid.dimension)
    inverse = np.zeros_like(points)
    for _ in range(INVERSE_ITERATIONS):
        inverse = -sampled(torch.from_numpy(grid.coords_from_points(points + inverse)))[0].numpy()
    fields = [
        vector_image(values, _blank(grid), itk.D)
        for values in (inverse.reshape(displacement.shape), displacement)
    ]
    result = displacement_field_transform(fields[0])
    result.SetInverseDisplacementField(fields[1])
    return result
