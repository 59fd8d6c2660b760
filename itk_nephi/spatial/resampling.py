"""Images of any pixel type, resampled through transforms or sampled at points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, Image, ImageDomain, image_like
from itk_nephi.spatial.transforms import compose


def resample(
    moving: Any,
    transforms: Sequence[Any],
    reference: Any,
    *,
    interpolation: str = "linear",
    outside: float = 0.0,
) -> Any:
    """Resample an image of any pixel type as ``itk.resample_image_filter`` does.

    Parameters
    ----------
    moving : itk.Image
        What to resample.
    transforms : sequence of itk.Transform
        From reference to moving space; a point goes through the first one first.
    reference : itk.Image
        Gives the grid.
    interpolation : {"linear", "nearest", "bspline"}
        How values between voxels are found.
    outside : float
        The value outside the moving image.

    Returns
    -------
    itk.Image
        Of the pixel type of ``moving``.

    Raises
    ------
    ValueError
        If ``outside`` is not a value of this type.
    """
    values = itk.array_view_from_image(moving)
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        if not (limits.min <= outside <= limits.max and outside == int(outside)):
            raise ValueError(
                f"expected outside to be a value of the moving image's pixel type, "
                f"{values.dtype}, got {outside:g}"
            )
    kind = type(moving)
    if not itk.can_resample(moving):
        moving = image_like(moving, values.astype(np.float64))
    interpolator = {
        "linear": itk.LinearInterpolateImageFunction,
        "nearest": itk.NearestNeighborInterpolateImageFunction,
        "bspline": itk.BSplineInterpolateImageFunction,
    }[interpolation]
    resampled = itk.resample_image_filter(
        moving,
        transform=compose(transforms),
        interpolator=interpolator.New(moving),
        reference_image=reference,
        use_reference_image=True,
        default_pixel_value=itk.array_view_from_image(moving).dtype.type(outside).item(),
    )
    if type(moving) is kind:
        return resampled
    return image_like(resampled, np.rint(itk.array_view_from_image(resampled)).astype(values.dtype))


def sample_image(image: Image, points: npt.ArrayLike) -> Array:
    """Interpolate an image linearly at points, as ``itk.LinearInterpolateImageFunction`` does.

    Parameters
    ----------
    image : itk.Image
        Any scalar pixel type.
    points : array, shape (N, D)
        Physical points, mm.

    Returns
    -------
    array, shape (N,)
        NaN outside the image, which ends half a voxel beyond the outermost voxel centers.
    """
    domain = ImageDomain.of(image)
    inside = domain.contains(points)
    last = np.array(domain.size) - 1
    index = np.clip(domain.index_from_points(np.asarray(points)[inside]), 0, last)
    lower = np.minimum(index.astype(int), last - 1)
    fraction = index - lower
    voxels = itk.array_view_from_image(image)
    values = np.zeros(len(index))
    for corner in product((0, 1), repeat=domain.dimension):
        weights = np.where(corner, fraction, 1 - fraction).prod(axis=1)
        values += weights * voxels[tuple((lower + corner).T[::-1])]
    result = np.full(inside.shape, np.nan)
    result[inside] = values
    return result
