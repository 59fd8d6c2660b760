"""Maps of transforms over whole grids: on a grid that suffices, and interpolated in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import to_displacement_field_transform
from itk_nephi.spatial.domain import Image, ImageDomain, Transform, image_from_array
from itk_nephi.spatial.preparation import block_size
from itk_nephi.spatial.transforms import flatten, is_neural

MAX_DISPLACEMENTS = 2**23
"""Voxels of an image to which a neural transform moves each by itself; of a larger one, some."""


def coarser(domain: ImageDomain, points: float) -> ImageDomain:
    """Return a grid from the first to the last voxel center with about so many points at most.

    The axis along which the points are the closest in mm is thinned out first.
    """
    steps = block_size(domain, points)
    if max(steps) == 1:
        return domain
    size = tuple(-(-(n - 1) // step) + 1 for n, step in zip(domain.size, steps, strict=True))
    extents = zip(domain.size, size, domain.spacing, strict=True)
    return replace(domain, size=size, spacing=tuple(s * (n - 1) / (m - 1) for n, m, s in extents))


def at_points(
    values: npt.NDArray[np.bool_], domain: ImageDomain, grid: ImageDomain
) -> npt.NDArray[np.bool_]:
    """Return the values, shape (k, j, i), of the voxels closest to the points of a coarser grid."""
    if grid.size == domain.size:
        return values
    sizes = zip(domain.size[::-1], grid.size[::-1], strict=True)
    closest = [np.rint(np.linspace(0, n - 1, m)).astype(int) for n, m in sizes]
    return np.asarray(values[np.ix_(*closest)])


def empty_image(domain: ImageDomain) -> Image:
    """Return an image of zeros that stands for a grid where ITK asks for an image."""
    return image_from_array(np.zeros(domain.size[::-1], np.uint8), domain)


def sampled_transform(transform: Transform, reference: Image) -> Transform:
    """Return a transform that is quick to evaluate at the voxels of an image.

    It is the same, unless it is neural and the image has more voxels than ``MAX_DISPLACEMENTS``:
    then it is sampled at about so many points, from the first voxel to the last, and linear in
    between.

    Parameters
    ----------
    transform : itk.Transform
        Maps from the points of ``reference``.
    reference : itk.Image
        Gives the grid.
    """
    domain = ImageDomain.of(reference)
    grid = coarser(domain, MAX_DISPLACEMENTS)
    if grid is domain or not any(map(is_neural, flatten(transform))):
        return transform
    return to_displacement_field_transform(transform, empty_image(grid))


def interpolate(image: Image, reference: Image) -> Image:
    """Interpolate an image linearly at the voxels of another one, inside its own grid."""
    if ImageDomain.of(image).matches(ImageDomain.of(reference)):
        return image
    return itk.resample_image_filter(image, use_reference_image=True, reference_image=reference)
