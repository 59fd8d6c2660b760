"""Rigid maps from anywhere: the best shift for every rotation, by correlations in Fourier space."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from itk_nephi.alignment.level import Level
from itk_nephi.alignment.rotations import axis_rotations
from itk_nephi.spatial.domain import Array

LATTICE = {2: 96, 3: 32}
"""Points along each axis of the periodic lattice on which images are shifted."""
PACKING = 0.85
"""Size of both images together, in any rotation, over that of the lattice: corners may overlap."""
PROMISING = 160
"""Rotations looked at on the whole lattice; where there are more, all on one half as fine first."""

Spectra = list[npt.NDArray[np.complexfloating]]


def search(
    fixed: Level, moving: Level, turns: Array, *, masked: bool, peaks: int = 1
) -> tuple[Array, Array]:
    """Find the best shifts between two images for given linear maps.

    Three pictures of the images are correlated: intensities, whose sign does not matter; lengths of
    gradients; and the masks. The maps in which the images' axes are exchanged cost little more. Of
    many maps, the lower half of the frequencies chooses which to look at closely.

    Parameters
    ----------
    fixed, moving : Level
        The images.
    turns : array, shape (N, D, D)
        Linear maps from fixed to moving points, each of which is taken after each rotation of the
        axes; or, if there is one only, as it is.
    masked : bool
        Correlate the masks, too.
    peaks : int
        How many shifts to return for each map.

    Returns
    -------
    matrices : array, shape (M, D + 1, D + 1)
        From fixed to moving points, normalized coordinates; the best first, of those looked at
        closely.
    scores : array, shape (M,)
        How well they fit, at most 1.
    """
    dimension = len(fixed.spacing)
    n = LATTICE[dimension]
    shape = (n,) * dimension
    edges = [level.spacing * np.array(level.weights.shape[::-1]) for level in (fixed, moving)]
    step = PACKING * float((edges[0] + np.linalg.norm(edges[1])).max()) / n
    offsets = np.fft.fftfreq(n, 1 / n) * step
    # the axes of these arrays are x first
    lattice = np.stack(np.meshgrid(*[offsets] * dimension, indexing="ij")).reshape(dimension, -1)
    centers = [level.center for level in (fixed, moving)]
    rotations = axis_rotations(dimension) if len(turns) > 1 else np.eye(dimension)[None]
    half = (..., slice(n // 2 + 1))
    still = _spectra(fixed, lattice + centers[0][:, None], shape, masked)
    permuted = [[_permuted(s, axes)[half].conj() for s in still] for axes in rotations]
    positions = [np.einsum("ij,jn->in", turn, lattice) + centers[1][:, None] for turn in turns]
    turned = [[s[half] for s in _spectra(moving, points, shape, masked)] for points in positions]
    channels = len(fixed.values)
    matrices, scores = [], []
    for number, axes_number in _promising(permuted, turned, shape, channels):
        score = _correlation(permuted[axes_number], turned[number], shape, channels)
        turn, axes = turns[number], rotations[axes_number]
        for peak in _highest(score, peaks):
            shift = offsets[list(np.unravel_index(peak, shape))]
            matrix = np.eye(dimension + 1)
            matrix[:-1, :-1] = turn @ axes
            # a point of the fixed image meets that of the turned one which lies a shift away
            matrix[:-1, -1] = centers[1] + turn @ shift - turn @ axes @ centers[0]
            matrices.append(matrix)
            scores.append(float(score.flat[peak]) / len(still))
    order = np.argsort(-np.array(scores), kind="stable")
    return np.array(matrices)[order], np.array(scores)[order]


def _promising(
    permuted: list[Spectra], turned: list[Spectra], shape: tuple[int, ...], channels: int
) -> list[tuple[int, int]]:
    """Return the numbers of turns and rotations that fit best by the lower half of frequencies."""
    pairs = list(product(range(len(turned)), range(len(permuted))))
    if len(pairs) <= PROMISING:
        return pairs
    coarse = tuple(n // 2 for n in shape)
    band = [np.fft.fftfreq(m, 1 / m).astype(int) for m in coarse]
    low = np.ix_(*band[:-1], np.arange(coarse[-1] // 2 + 1))
    still = [np.stack([s[low] for s in spectra]) for spectra in zip(*permuted, strict=True)]
    best = [
        _correlation(still, [s[low] for s in spectra], coarse, channels)
        .reshape(len(permuted), -1)
        .max(axis=1)
        for spectra in turned
    ]
    order = np.argsort(-np.concatenate(best), kind="stable")
    return [pairs[number] for number in order[:PROMISING]]


def _correlation(one: Spectra, other: Spectra, shape: tuple[int, ...], channels: int) -> Array:
    """Return how well images fit at every shift, the sign of their intensities aside."""
    products = [first * second for first, second in zip(one, other, strict=True)]
    axes = tuple(range(-len(shape), 0))
    signed, unsigned = (
        np.fft.irfftn(sum(part), shape, axes=axes)
        for part in (products[:channels], products[channels:])
    )
    correlation: Array = np.abs(signed) + unsigned
    return correlation


def _spectra(level: Level, points: Array, shape: tuple[int, ...], masked: bool) -> Spectra:
    """Transform the pictures of a level: intensities, lengths of gradients, and the mask."""
    samples = level.sample(points)
    values, lengths = samples[:, 0], np.sqrt((samples[:, 1:].real ** 2).sum(axis=1))
    intensities = [_centered(value.real, value.imag) for value in values]
    # at a rim, gradients are those of the weights
    inside = np.where(values.imag > 0.999, 1.0, 0.0)
    edges = [_centered(*pair) for pair in zip(lengths, inside, strict=True)]
    pictures = [*intensities, *edges, *([values[0].imag] if masked else [])]
    return [np.fft.fftn(_unit(picture).astype(np.float32).reshape(shape)) for picture in pictures]


def _centered(values: Array, weights: Array) -> Array:
    mean = (values * weights).sum() / max(weights.sum(), 1e-9)
    centered: Array = (values - mean) * weights
    return centered


def _unit(values: Array) -> Array:
    unit: Array = values / max(np.sqrt((values**2).sum()), 1e-12)
    return unit


def _permuted(
    array: npt.NDArray[np.complexfloating], axes: Array
) -> npt.NDArray[np.complexfloating]:
    """Return ``array[axes.T @ index]`` of a periodic array; axes is a rotation of the axes."""
    order = np.abs(axes.T).argmax(axis=1)
    signs = axes.T[np.arange(len(axes)), order]
    for axis, sign in enumerate(signs):
        if sign < 0:
            array = np.roll(np.flip(array, axis), 1, axis)
    return np.ascontiguousarray(np.transpose(array, np.argsort(order)))


def _highest(score: Array, peaks: int) -> list[int]:
    """Return the numbers of the highest values, none a neighbor of a higher one."""
    found = []
    for _ in range(peaks):
        best = int(score.argmax())
        found.append(best)
        if peaks > 1:
            position = np.unravel_index(best, score.shape)
            for offset in product((-2, -1, 0, 1, 2), repeat=score.ndim):
                score[tuple((np.array(position) + offset) % score.shape)] = -np.inf
    return found
