"""Large images, averaged over blocks of voxels: what a registration works on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.domain import ImageDomain


def block_size(domain: ImageDomain, voxels: float) -> tuple[int, ...]:
    """Return how many voxels along each axis to average, so that few enough blocks are left.

    The axis along which the blocks are shortest in mm grows first.

    Parameters
    ----------
    domain : ImageDomain
        The voxels.
    voxels : float
        How many blocks there may be, at least 2 along each axis.
    """
    block = [1] * domain.dimension
    while math.prod(n // b for n, b in zip(domain.size, block, strict=True)) > voxels:
        lengths = [
            spacing * b if n // (b + 1) >= 2 else math.inf
            for n, spacing, b in zip(domain.size, domain.spacing, block, strict=True)
        ]
        if min(lengths) == math.inf:
            break
        block[lengths.index(min(lengths))] += 1
    return tuple(block)


def binned(
    values: npt.NDArray[Any], domain: ImageDomain, voxels: float
) -> tuple[npt.NDArray[Any], ImageDomain]:
    """Average an image over blocks of voxels where it has too many; else leave it as it is.

    Voxels at the far ends that do not fill a block are left out. It takes no more memory than the
    result and a plane of blocks.

    Parameters
    ----------
    values : array, shape (k, j, i)
        Real numbers.
    domain : ImageDomain
        Where they are.
    voxels : float
        How many voxels there may be.

    Returns
    -------
    values : array, shape (k, j, i)
        Single precision where they were averaged.
    domain : ImageDomain
        Where these are.
    """
    block = block_size(domain, voxels)
    if max(block) == 1:
        return values, domain
    size = tuple(n // b for n, b in zip(domain.size, block, strict=True))
    others = [slice(n * b) for n, b in zip(size[-2::-1], block[-2::-1], strict=True)]
    averages = np.empty(size[::-1], np.float32)
    split = [n for pair in zip(size[::-1], block[::-1], strict=True) for n in pair]
    for row, average in enumerate(averages):
        start = row * block[-1]
        plane = values[(slice(start, start + block[-1]), *others)].reshape(1, *split[1:])
        average[...] = plane.mean(axis=tuple(range(1, len(split), 2)), dtype=np.float64)[0]
    middle = [(b - 1) / 2 for b in block]
    return averages, replace(
        domain,
        size=size,
        spacing=tuple(s * b for s, b in zip(domain.spacing, block, strict=True)),
        origin=tuple(domain.points_from_index(middle).tolist()),
    )
