"""Images as an alignment sees them: cropped to their masks, from 0 to 1, at several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.alignment.level import Level
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain, difference
from itk_nephi.spatial.intensities import IntensityRange

TAIL = 0.001
"""Share of the voxels at either end of the intensities that may be outliers."""
SOME = 100_000
"""Voxels, at least, that the range of intensities is found from."""
LEAST, LARGEST = 2.0**-90, 2.0**90
"""The ranges of intensities that are averaged as they are."""
SOFT_TOLERANCE = 1e-3
"""By how much rounding may take a soft mask out of the range from 0 to 1."""


class Pyramid:
    """An image with its mask, averaged to any size.

    Points are given along right-handed axes of the image's own, from its center, so that where it
    lies and how it is turned in space changes nothing. Voxels of weight 0 change nothing either,
    whatever they hold.

    Parameters
    ----------
    channels : sequence of itk.Image
        Scalar images on one grid.
    mask : itk.Image, optional
        On the same grid; non-zero inside, or soft, from 0 to 1.
    name : str
        The user's word for the image.

    Raises
    ------
    ValueError
        If the channels or the mask lie on other grids, the mask is empty or not from 0 to 1, or
        the image inside it has no contrast or is not finite.
    """

    def __init__(self, channels: Sequence[Any], mask: Any | None, name: str) -> None:
        self.domain = ImageDomain.of(channels[0])
        for image in (*channels, *([] if mask is None else [mask])):
            if not ImageDomain.of(image).matches(self.domain):
                raise ValueError(
                    f"expected the channels and the mask of the {name} image on one grid, "
                    f"got another: {difference(ImageDomain.of(image), self.domain)}"
                )
        direction = np.array(self.domain.direction)
        mirrored = np.linalg.det(direction) < 0
        self.axes = direction * np.array([-1.0 if mirrored else 1.0, *[1.0] * (len(direction) - 1)])
        order = (..., slice(None, None, -1 if mirrored else 1))
        self._values = [itk.array_view_from_image(channel)[order] for channel in channels]
        self.masked = mask is not None
        self._weights = (
            None if mask is None else _soft(itk.array_view_from_image(mask), name)[order]
        )
        self._box = _bounding_box(self._weights, self._values[0].shape)
        self._bounds = [self._range(values, name) for values in self._values]

    @property
    def size(self) -> Array:
        """The size of the box around the mask, voxels."""
        return np.array([part.stop - part.start for part in self._box[::-1]])

    @property
    def edges(self) -> Array:
        """The edges of the box around the mask, of whole voxels, physical units."""
        edges: Array = self.size * np.array(self.domain.spacing)
        return edges

    def level(self, length: float, unit: float, points: int, *, smooth: bool) -> Level:
        """Average over blocks of voxels.

        Parameters
        ----------
        length : float
            About the edge of a block, physical units.
        unit : float
            The physical length of one unit of normalized coordinates.
        points : int
            How many blocks are compared with the other image, at most.
        smooth : bool
            Average each block with its neighbors, so that texture does not slow the search.
        """
        spacing = np.array(self.domain.spacing)
        block = np.clip(
            np.round(np.round(length / spacing, 6)), 1, np.maximum(self.size // 2, 1)
        ).astype(int)
        first = np.array([part.start for part in self._box[::-1]]) + (block - 1) / 2
        weights, values = self._averaged(tuple(block[::-1].tolist()), smooth)
        return Level(
            values=values,
            weights=weights,
            # rounded, so that units of length leave no trace
            spacing=np.round(block * spacing / unit, 12),
            origin=np.round((first - (np.array(self.domain.size) - 1) / 2) * spacing / unit, 12),
            most_points=points,
        )

    def _averaged(self, block: tuple[int, ...], smooth: bool) -> tuple[Array, Array]:
        """Average by planes of blocks; what does not fill a block at the end is left out."""
        size = [(part.stop - part.start) // b for part, b in zip(self._box, block, strict=True)]
        weights = np.ones(size)
        values = np.empty((len(self._values), *size))
        for plane in range(size[0]):
            start = self._box[0].start + plane * block[0]
            slab = (
                slice(start, start + block[0]),
                *(
                    slice(part.start, part.start + n * b)
                    for part, n, b in zip(self._box[1:], size[1:], block[1:], strict=True)
                ),
            )
            inside = None if self._weights is None else self._weights[slab]
            if inside is not None:
                weights[plane] = _block_means(inside, block)
            for channel, (image, usual) in enumerate(zip(self._values, self._bounds, strict=True)):
                part = image[slab]
                if inside is None:
                    part = usual.scaled(part, LEAST, LARGEST)
                else:
                    known = np.where(inside > 0, part, part.dtype.type(0))
                    part = usual.scaled(known, LEAST, LARGEST) * inside
                values[channel, plane] = _block_means(part, block)
        if smooth:
            values = np.array([_smoothed(channel) for channel in values])
        values /= np.maximum(_smoothed(weights) if smooth else weights, 1e-6)
        for channel in values:
            low, high = channel[weights > 0].min(), channel[weights > 0].max()
            channel[...] = np.clip((channel - low) / max(high - low, 1e-30), 0, 1)
        return weights, values

    def _range(self, values: npt.NDArray[Any], name: str) -> IntensityRange:
        """Return between which intensities all but a few outliers lie."""
        inside = None if self._weights is None else self._weights[self._box] > 0
        values = values[self._box]
        outside = np.False_ if inside is None else ~inside
        for plane, beside in zip(values, np.broadcast_to(outside, values.shape), strict=True):
            if not (np.isfinite(plane) | beside).all():
                raise ValueError(
                    f"expected the {name} image to be finite{' in its mask' * self.masked}, got "
                    "NaN or infinite voxels"
                )
        found = values.ravel() if inside is None else values[inside]
        some = found[:: max(1, len(found) // SOME)].astype(np.float64)
        usual = IntensityRange.of(values, inside)  # hot voxels may be more than a tail
        low, high = np.clip(np.quantile(some, (TAIL, 1 - TAIL)), usual.low, usual.high)
        low, high = 2 * low - high, 2 * high - low
        if not high > low:
            low, high = float(found.min()), float(found.max())
        found_range = IntensityRange(float(low), float(high))
        if found_range.is_rounding(values.dtype):
            raise ValueError(
                f"expected the {name} image to have contrast{' in its mask' * self.masked}, got "
                f"{low:g} in every voxel" + " but for rounding" * (low < high)
            )
        return found_range


def _soft(mask: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    """Return a mask as weights from 0 to 1."""
    if not np.isfinite(mask).all():
        raise ValueError(f"expected the mask of the {name} image to be finite, got NaN or infinity")
    if not (mask != 0).any():
        raise ValueError(f"expected the mask of the {name} image to have voxels, got an empty mask")
    if ((mask > 0) & (mask < 1)).any():
        low, high = float(mask.min()), float(mask.max())
        if low < -SOFT_TOLERANCE or high > 1 + SOFT_TOLERANCE:
            raise ValueError(
                f"expected the mask of the {name} image to be from 0 to 1 where it is soft, got "
                f"{low:g} to {high:g}"
            )
        mask = np.clip(mask, 0, 1)
    else:
        mask = mask != 0
    weights: npt.NDArray[np.float32] = mask.astype(np.float32)
    return weights


def _bounding_box(weights: npt.NDArray[Any] | None, shape: tuple[int, ...]) -> tuple[slice, ...]:
    if weights is None:
        return tuple(slice(0, n) for n in shape)
    box = []
    for axis in range(weights.ndim):
        others = tuple(a for a in range(weights.ndim) if a != axis)
        inside = np.flatnonzero(weights.max(axis=others) > 0)
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def _smoothed(values: Array) -> Array:
    """Average with the neighbors by 1, 2, 1 along each axis; beyond the ends are zeros."""
    for axis in range(values.ndim):
        lines = np.moveaxis(values, axis, 0)
        smooth = lines / 2
        smooth[1:] += lines[:-1] / 4
        smooth[:-1] += lines[1:] / 4
        values = np.moveaxis(smooth, 0, axis)
    return np.ascontiguousarray(values)


def _block_means(slab: npt.NDArray[Any], block: tuple[int, ...]) -> npt.NDArray[Any]:
    """Average a slab, as thick as one block, over blocks; without its first axis."""
    means: npt.NDArray[Any] = slab.mean(axis=0, dtype=np.float32)
    for axis, length in enumerate(block[1:]):
        if length > 1:
            shape = (*means.shape[:axis], -1, length, *means.shape[axis + 1 :])
            means = means.reshape(shape).mean(axis=axis + 1)
    return means
