"""Intensities: which range they have, outliers, and what stands in for those outside a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLED_VOXELS = 2**20
"""How many voxels the quantiles of an image are computed from, at most."""

TAIL, OUTLYING = 0.005, 10.0
"""How many times the range without both tails, shares of the voxels, an intensity is beyond it that
is an outlier."""

OUTLIERS, FEW = 1e-3, 4
"""Which share of the voxels may be outliers, and how many in any image: more are part of what the
image shows."""

ISOLATED_TAIL, ISOLATED_OUTLYING = 0.03, 2.0
"""The same of outliers most of which have none beside them, as hot voxels, of which the share of a
tail may be."""

PAIRED = 0.25
"""How many pairs of neighbors there may be among those, share of their number."""

ROUNDING = 16
"""Units of precision by which intensities differ where there is nothing but rounding."""

OFFSET = 2.0**10
"""How many times its range an image's intensities may be from 0."""

LEAST, LARGEST = 2.0**-20, 2.0**40
"""The ranges that intensities are taken with as they are."""


@dataclass(frozen=True)
class IntensityRange:
    """The intensities of one or several images, and how single precision holds them.

    Parameters
    ----------
    low, high : float
        The smallest and the largest, without outliers.
    """

    low: float
    high: float

    @classmethod
    def of(
        cls, values: npt.NDArray[Any], inside: npt.NDArray[np.bool_] | None = None
    ) -> IntensityRange:
        """Return the range of an image, in its mask if there is one; a few outliers are left out.

        Parameters
        ----------
        values : array, shape (k, j, i)
            Finite inside the mask.
        inside : array of bool, shape (k, j, i), optional
            The mask, with at least one voxel.
        """
        chosen = values.reshape(-1) if inside is None else values[inside]
        low, high = float(chosen.min()), float(chosen.max())
        some = chosen[:: -(-len(chosen) // SAMPLED_VOXELS)].astype(np.float64)
        least, most = _bounds(some, TAIL, OUTLYING)
        if low < least or high > most:
            outlying = np.count_nonzero(chosen < least) + np.count_nonzero(chosen > most)
            if outlying <= max(OUTLIERS * len(chosen), FEW):
                return cls(max(low, least), min(high, most))
        least, most = _bounds(some, ISOLATED_TAIL, ISOLATED_OUTLYING)
        if low < least or high > most:
            outliers = (values < least) | (values > most)
            if inside is not None:
                outliers &= inside
            if _are_isolated(outliers, len(chosen)):
                usual = chosen[(chosen >= least) & (chosen <= most)]
                return cls(float(usual.min()), float(usual.max()))
        return cls(low, high)

    def is_rounding(self, kind: np.dtype[Any]) -> bool:
        """Whether intensities of a type differ by no more than that type rounds them."""
        precision = np.finfo(kind).eps if kind.kind == "f" else 0.0
        return self.high - self.low <= ROUNDING * precision * max(abs(self.low), abs(self.high))

    def joined(self, other: IntensityRange) -> IntensityRange:
        """Return the range of both."""
        return IntensityRange(min(self.low, other.low), max(self.high, other.high))

    def scaled(
        self, values: npt.NDArray[Any], least: float = LEAST, largest: float = LARGEST
    ) -> npt.NDArray[np.float32]:
        """Return intensities in single precision, outliers at the ends of the range.

        Where their offset or scale is so extreme that single precision would lose them, they are
        taken from the middle of the range and multiplied by a power of two, so that they span about
        1; all others, of ranges between twice ``least`` and ``largest``, stay as they are.
        """
        middle, half = self.low / 2 + self.high / 2, self.high / 2 - self.low / 2
        if least <= half <= largest and abs(middle) <= OFFSET * half:
            found = values.astype(np.float32)
            low, high = np.float32(self.low), np.float32(self.high)
            within = found.min() >= low and found.max() <= high
            return found if within else np.clip(found, low, high)
        scale = math.ldexp(1.0, max(-math.frexp(half)[1], -1073))
        clipped = np.clip(values.astype(np.float64), self.low, self.high)
        return ((clipped - middle) * min(scale, 2.0**1000)).astype(np.float32)


def _bounds(values: npt.NDArray[np.float64], tail: float, outlying: float) -> tuple[float, float]:
    """Return beyond which intensities there are outliers; infinite without any range."""
    low, high = np.quantile(values / 2, (tail, 1 - tail)) * 2
    reach = outlying * (high / 2 - low / 2) * 2
    return (float(low - reach), float(high + reach)) if reach > 0 else (-math.inf, math.inf)


def _are_isolated(outliers: npt.NDArray[np.bool_], voxels: int) -> bool:
    """Return whether few of the voxels are outliers, and few of those neighbors."""
    count = int(np.count_nonzero(outliers))
    if count > ISOLATED_TAIL * voxels:
        return False
    pairs = 0
    for axis in range(outliers.ndim):
        along = np.moveaxis(outliers, axis, 0)
        pairs += int(np.count_nonzero(along[1:] & along[:-1]))
    return pairs <= PAIRED * count


def spread_numbers(count: int, most: int) -> npt.NDArray[np.int_]:
    """Return the numbers of all voxels, or of one in each of ``most`` equal parts, rising.

    The one is drawn, by a fixed seed: every n-th voxel could lie in one column of the image.
    """
    if count <= most:
        return np.arange(count)
    edges = np.arange(most + 1) * count // most
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def fill_outside(
    values: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Replace the voxels outside a mask by averages of those nearest to them inside.

    The averages are those of blocks of 2, 4, 8, ... voxels along each axis, of the smallest block
    with voxels of the mask (push and pull, Gortler et al., SIGGRAPH 1996).

    Parameters
    ----------
    values : array, shape (k, j, i)
        Intensities; those outside are not looked at, and may be NaN.
    inside : array of bool, shape (k, j, i)
        The mask.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if inside.all():
        return values
    if not inside.any():
        raise ValueError("expected a mask with voxels to fill an image from, got an empty one")
    sums, counts = np.where(inside, values, np.float32(0)), inside.astype(np.float32)
    levels = []
    while not counts.all():
        levels.append((sums, counts))
        sums, counts = _halved(sums), _halved(counts)
    filled = sums / counts
    for sums, counts in reversed(levels):
        for axis in range(filled.ndim):
            filled = filled.repeat(2, axis=axis)
        filled = filled[tuple(slice(n) for n in sums.shape)]
        filled = np.divide(sums, counts, out=filled.copy(), where=counts > 0)
    return np.where(inside, values, filled)


def _halved(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the sums of blocks of two voxels along each axis; zeros are beyond the end."""
    for axis, count in enumerate(values.shape):
        if count % 2:
            values = np.pad(values, [(0, int(each == axis)) for each in range(values.ndim)])
        even, odd = (np.take(values, np.arange(n, values.shape[axis], 2), axis) for n in (0, 1))
        values = even + odd
    return values
