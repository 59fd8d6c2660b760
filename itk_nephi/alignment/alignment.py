"""Linear alignment of two images from anywhere: of one or different modalities, in 2D and 3D.

A search over all rotations and shifts on small images gives candidates; the best are refined coarse
to fine, and the last one up to the degrees of freedom asked for. Every length is a share of the
images or of a voxel, so units do not matter. Mirror images are never produced.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from itk_nephi.alignment.explained_variance import refine, similarity
from itk_nephi.alignment.level import Level
from itk_nephi.alignment.pyramid import Pyramid
from itk_nephi.alignment.rotation_search import search
from itk_nephi.alignment.rotations import nearest_rotation, small_rotations
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array
from itk_nephi.spatial.initialization import ALIGNMENTS
from itk_nephi.spatial.transforms import matrix_and_offset

RESOLUTIONS = {2: (48, 96, 192, 384), 3: (16, 32, 64)}
"""Blocks along the edge of a square or cube as large as the images, coarse to fine."""
MOST_POINTS = {2: (2500, 5000, 10_000, 20_000), 3: (4000, 8000, 30_000)}
KEPT = (24, 8, 6, 3)
"""Candidates from the search, after a few steps, for the second level, and to the end of it."""
CANDIDATE_DISTANCE, DISTINCT_DISTANCE = 0.3, 0.15
"""Root mean square distance of where maps send the corners, share of that from their center."""
PRECISION, FINAL_PRECISION = 0.1, 0.02
"""The length of the last step, share of a block's shortest edge, before and on the finest level."""
FINAL_STEPS, RIVAL_STEPS = 30, 8
"""On each fine level: of the best candidate, and of those it is compared with."""
PREFERRED = 0.01
"""By how much of its similarity an alignment is preferred to which the given position leads."""
NOTICEABLE = 1e-3
"""A difference of similarities that is more than rounding and interpolation."""
CLOSE = 0.15
"""Similarity, as a share of the best, by which what is behind needs no closer look."""
AMBIGUOUS = 0.05
"""Similarity, as a share of the best, by which another alignment should be behind."""
MIRRORED = 0.002
"""By how much more similar a mirror image is one: heads are nearly their own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """A linear alignment of two images.

    Parameters
    ----------
    transform : itk.AffineTransform
        From fixed to moving points, about the center of the fixed image.
    similarity : float
        The share of the images' variance that they explain of each other, at most 1.
    margin : float
        How far the second-best distinct alignment was behind, share of the best one's similarity.
    mirror_margin : float
        The same of the best mirror image, which is never returned; below 0 if it fits better.
    finding : str
        Why to doubt the alignment; empty if there is no reason.
    reached_from : {"search", "stored", "centers", "initial_transform"}
        What leads to it: the search, where the images lie in space, their centers together, or the
        initial transform. Of about equally similar alignments, that is taken to which the initial
        transform leads or, without one, where the images lie.
    """

    transform: Any
    similarity: float
    margin: float
    mirror_margin: float
    finding: str
    reached_from: str

    @property
    def ambiguous(self) -> bool:
        """Whether another alignment fits about as well, or a mirror image better."""
        return self.margin < AMBIGUOUS or self.mirror_margin < -MIRRORED

    @property
    def volume_change(self) -> float:
        """The volume of a piece of the moving image over that of its match in the fixed image."""
        return float(np.linalg.det(itk.array_from_matrix(self.transform.GetMatrix())))


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A homogeneous matrix from fixed to moving normalized coordinates, and how well it fits."""

    matrix: Array
    similarity: float
    start: str


def align(
    fixed: Any,
    moving: Any,
    *,
    degrees_of_freedom: str = "affine",
    fixed_mask: Any = None,
    moving_mask: Any = None,
    initial_transform: Any = None,
) -> Alignment:
    """Align two images, wherever they lie and however they are turned.

    Parameters
    ----------
    fixed, moving : itk.Image or sequence of itk.Image
        Scalar images in 2 or 3 dimensions, or as many channels of each, each channel to be
        compared with its counterpart.
    degrees_of_freedom : {"affine", "similarity", "rigid", "translation"}
        What may change. A translation keeps the linear part of the initial transform.
    fixed_mask, moving_mask : itk.Image, optional
        Where to look: non-zero inside, or soft, from 0 to 1. What lies outside changes nothing.
    initial_transform : itk.Transform, optional
        A linear transform from fixed to moving points to try besides.

    Returns
    -------
    Alignment
        Never less similar than the initial transform, as it is, or than the images as they lie in
        space.

    Raises
    ------
    ValueError
        If images, masks or the initial transform do not fit together.

    Warns
    -----
    UserWarning
        If the alignment is ambiguous, or no better than a start.

    Notes
    -----
    The same images give the same bits, on any number of threads; exchanged images give the inverse.
    """
    found = find_alignment(
        fixed,
        moving,
        degrees_of_freedom=degrees_of_freedom,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        initial_transform=initial_transform,
    )
    if found.finding:
        warnings.warn(found.finding, stacklevel=2)
    return found


def find_alignment(
    fixed: Any,
    moving: Any,
    *,
    degrees_of_freedom: str,
    fixed_mask: Any = None,
    moving_mask: Any = None,
    initial_transform: Any = None,
) -> Alignment:
    """Return what :func:`align` does, without a warning."""
    pyramids = _pyramids(fixed, moving, fixed_mask, moving_mask)
    pair = _Pair(pyramids, _number_of(degrees_of_freedom))
    starts = pair.starts(initial_transform)
    candidates = pair.refined(pair.searched(starts), starts)
    final, margin = pair.decided(candidates)
    mirror_margin = pair.mirror_margin(candidates[0], final)
    first = max(
        (
            _Candidate(matrix, similarity(*pair.levels[-1], matrix).explained, name)
            for name, matrix in starts.items()
        ),
        key=lambda candidate: candidate.similarity,
    )
    finding = ""
    if first.similarity > final.similarity + NOTICEABLE:
        finding = (
            f"no alignment was found that is better than a start ({first.start}), returned as is"
        )
    elif mirror_margin < -MIRRORED:
        finding = "the alignment is ambiguous: a mirror image fits better"
    elif margin < AMBIGUOUS:
        finding = (
            f"the alignment is ambiguous: one far from it is {100 * margin:.1f} % less similar"
        )
    if first.similarity > final.similarity:
        final = first
    return Alignment(
        transform=pair.transform(final.matrix),
        similarity=final.similarity,
        margin=margin,
        mirror_margin=mirror_margin,
        finding=finding,
        reached_from=final.start,
    )


def _number_of(degrees_of_freedom: str) -> int:
    if degrees_of_freedom not in ALIGNMENTS:
        raise ValueError(
            f"expected degrees_of_freedom to be one of {', '.join(ALIGNMENTS)}, got "
            f"{degrees_of_freedom!r}"
        )
    return ALIGNMENTS.index(degrees_of_freedom)


def _pyramids(
    fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any
) -> tuple[Pyramid, Pyramid]:
    images = [list(image) if isinstance(image, Sequence) else [image] for image in (fixed, moving)]
    if len(images[0]) != len(images[1]):
        raise ValueError(
            f"expected as many fixed as moving channels, got {len(images[0])} and {len(images[1])}"
        )
    pyramids = (
        Pyramid(images[0], fixed_mask, "fixed"),
        Pyramid(images[1], moving_mask, "moving"),
    )
    if pyramids[0].domain.dimension != pyramids[1].domain.dimension:
        raise ValueError(
            "expected fixed and moving images of the same dimension, got "
            f"{pyramids[0].domain.dimension} and {pyramids[1].domain.dimension}"
        )
    return pyramids


class _Pair:
    """Two images in normalized coordinates, and the stages of their alignment.

    The unit is half the edge of a cube (square) as large as the images. Whichever is given as the
    fixed image, maps lead from the same one of the two to the other: exchanged images give the
    inverse. Degrees of freedom are given by their number in ``ALIGNMENTS``.
    """

    def __init__(self, pyramids: tuple[Pyramid, Pyramid], asked: int) -> None:
        self.pyramids = pyramids
        self.dimension = pyramids[0].domain.dimension
        self.asked = asked
        self.home = "stored"
        edge = float(np.prod([pyramid.edges for pyramid in pyramids]) ** (0.5 / self.dimension))
        self.unit = edge / 2
        resolutions, most_points = RESOLUTIONS[self.dimension], MOST_POINTS[self.dimension]
        fixed, moving = (
            [
                pyramid.level(edge / n, self.unit, points, smooth=n < resolutions[-1])
                for n, points in zip(resolutions, most_points, strict=True)
            ]
            for pyramid in pyramids
        )
        self.exchanged = _order(moving[0]) < _order(fixed[0])
        one, other = (moving, fixed) if self.exchanged else (fixed, moving)
        self.levels = list(zip(one, other, strict=True))
        self.corners = np.vstack([one[0].corners, np.ones(2**self.dimension)])

    def starts(self, initial_transform: Any) -> dict[str, Array]:
        """Return the maps to begin with, as they are."""
        fixed, moving = (pyramid.domain.center for pyramid in self.pyramids)
        stored = np.eye(self.dimension)
        starts = {
            "stored": self._normalized(stored, fixed),
            "centers": self._normalized(stored, moving),
        }
        if initial_transform is not None:
            matrix, offset = _checked(initial_transform, self.dimension)
            self.home = "initial_transform"
            starts["initial_transform"] = self._normalized(matrix, matrix @ fixed + offset)
            if self.asked == 0:
                return {"initial_transform": starts["initial_transform"]}
        return starts

    def _normalized(self, matrix: Array, image_of_center: Array) -> Array:
        """Return a map, given by its linear part and where it sends the fixed image's center.

        Rounded, so that a turn of space leaves no trace.
        """
        fixed, moving = self.pyramids
        result = np.eye(self.dimension + 1)
        result[:-1, :-1] = moving.axes.T @ matrix @ fixed.axes
        result[:-1, -1] = moving.axes.T @ (image_of_center - moving.domain.center) / self.unit
        return np.round(np.linalg.inv(result) if self.exchanged else result, 9)

    def transform(self, matrix: Array) -> Any:
        """Return a map as a transform from fixed to moving physical points."""
        fixed, moving = self.pyramids
        if self.exchanged:
            matrix = np.array(np.linalg.inv(matrix))
        center = fixed.domain.center
        linear = moving.axes @ matrix[:-1, :-1] @ fixed.axes.T
        image_of_center = moving.axes @ matrix[:-1, -1] * self.unit + moving.domain.center
        transform = itk.AffineTransform[itk.D, self.dimension].New()
        transform.SetCenter(center.tolist())
        transform.SetMatrix(itk.matrix_from_array(np.ascontiguousarray(linear)))
        transform.SetTranslation((image_of_center - center).tolist())
        return transform

    def searched(self, starts: dict[str, Array]) -> list[_Candidate]:
        """Return candidates from the starts and from everywhere, refined on the coarsest level."""
        masked = all(pyramid.masked for pyramid in self.pyramids)
        if self.asked == 0:
            turns = next(iter(starts.values()))[None, :-1, :-1]
            matrices, _ = search(*self.levels[0], turns, masked=masked, peaks=KEPT[1])
        else:
            turns = small_rotations(self.dimension)
            matrices, _ = search(*self.levels[0], turns, masked=masked)
        chosen = [
            _Candidate(project(matrix, min(self.asked, 1)), 0.0, name)
            for name, matrix in starts.items()
        ]
        chosen += [
            _Candidate(matrices[number], 0.0, "search")
            for number in self._apart(matrices, CANDIDATE_DISTANCE, KEPT[0])
        ]
        rigid = min(self.asked, 1)
        chosen = self._best([self._climbed(c, 0, rigid, 4) for c in chosen], KEPT[1])
        return self._best([self._climbed(c, 0, rigid, 12) for c in chosen], KEPT[2])

    def refined(self, candidates: list[_Candidate], starts: dict[str, Array]) -> list[_Candidate]:
        """Refine on the middle level; return distinct candidates, the best first."""
        rigid = min(self.asked, 1)
        candidates = self._best([self._climbed(c, 1, rigid, 12) for c in candidates], KEPT[3])
        if self.asked > 1 and "initial_transform" in starts:
            matrix = project(starts["initial_transform"], self.asked)
            candidates = [*candidates, _Candidate(matrix, 0.0, "initial_transform")]
        # on either level more degrees of freedom may lead to another maximum
        coarse = candidates if self.asked > 1 else []
        for degrees in range(2, self.asked + 1):
            coarse = [self._climbed(c, 0, degrees, 20) for c in coarse]
            candidates = [self._climbed(c, 1, degrees, 12) for c in candidates]
        candidates = candidates + [self._climbed(c, 1, self.asked, 20) for c in coarse]
        return self._best(candidates, KEPT[3])

    def decided(self, candidates: list[_Candidate]) -> tuple[_Candidate, float]:
        """Refine on the fine levels; return the better one and how far the other was behind.

        The other one is the second-best, or that next to the given position if it is close.
        """
        best, *others = candidates
        final = self.finished(best)
        if not others or best.similarity <= 0:
            return final, 1.0
        least = (1 - CLOSE) * best.similarity
        near = [c for c in others if c.start == self.home and c.similarity >= least]
        rival = near[0] if near else others[0]
        margin = 1 - max(rival.similarity, 0.0) / best.similarity
        if margin < CLOSE:
            other = self.finished(rival, RIVAL_STEPS)
            if self._rank(other) > self._rank(final):
                final, other = self.finished(other), final
            if self._are_apart(final, other):
                margin = 1 - other.similarity / final.similarity
        return final, margin

    def _rank(self, candidate: _Candidate) -> float:
        return candidate.similarity * (1 + PREFERRED * (candidate.start == self.home))

    def mirror_margin(self, best: _Candidate, final: _Candidate) -> float:
        """Return how far the most similar mirror image is behind, share of the similarity."""
        if self.asked == 0 or best.similarity <= 0:
            return 1.0
        center = self.levels[1][0].center
        tried = []
        for axis in range(self.dimension):
            mirror = np.eye(self.dimension + 1)
            mirror[axis, axis], mirror[axis, -1] = -1, 2 * center[axis]
            candidate = _Candidate(best.matrix @ mirror, 0.0, best.start)
            tried.append(self._climbed(candidate, 1, self.asked, 10))
        mirrored = max(tried, key=lambda candidate: candidate.similarity)
        margin = 1 - mirrored.similarity / best.similarity
        if margin < CLOSE:
            return 1 - self.finished(mirrored, RIVAL_STEPS).similarity / final.similarity
        return margin

    def finished(self, candidate: _Candidate, steps: int = FINAL_STEPS) -> _Candidate:
        """Refine on the fine levels."""
        for level in range(2, len(self.levels)):
            candidate = self._climbed(candidate, level, self.asked, steps)
        return candidate

    def _climbed(
        self, candidate: _Candidate, level: int, degrees: int, iterations: int
    ) -> _Candidate:
        fixed, moving = self.levels[level]
        precision = FINAL_PRECISION if level == len(self.levels) - 1 else PRECISION
        matrix, explained = refine(
            fixed,
            moving,
            candidate.matrix,
            generators(self.dimension, degrees),
            iterations=iterations,
            tolerance=precision * float(min(fixed.spacing.min(), moving.spacing.min())),
        )
        return _Candidate(matrix, explained, candidate.start)

    def _best(self, candidates: list[_Candidate], count: int) -> list[_Candidate]:
        """Return the most similar distinct candidates, and that from the given position.

        Where several lead to about the same map, they count as reached from the position if one of
        them is.
        """
        ordered = sorted(candidates, key=lambda candidate: -candidate.similarity)
        matrices = np.array([candidate.matrix for candidate in ordered])
        numbers = self._apart(matrices, DISTINCT_DISTANCE, len(ordered))
        distinct = [ordered[number] for number in numbers]
        for home in (candidate for candidate in ordered if candidate.start == self.home):
            distinct = [
                c if self._are_apart(c, home) else replace(c, start=self.home) for c in distinct
            ]
        return distinct[:count] + [c for c in distinct[count:] if c.start == self.home]

    def _are_apart(self, one: _Candidate, other: _Candidate) -> bool:
        matrices = np.array([one.matrix, other.matrix])
        return len(self._apart(matrices, DISTINCT_DISTANCE, 2)) == 2

    def _apart(self, matrices: Array, distance: float, count: int) -> list[int]:
        """Return the numbers of the first maps that send the corners some distance apart."""
        positions = (matrices @ self.corners)[:, :-1]
        radius = np.sqrt(
            np.mean((positions - positions.mean(axis=2, keepdims=True)) ** 2, axis=(1, 2))
        )
        left = np.ones(len(positions), bool)
        chosen: list[int] = []
        while left.any() and len(chosen) < count:
            first = int(left.argmax())
            chosen.append(first)
            apart = np.sqrt(np.mean((positions - positions[first]) ** 2, axis=(1, 2)))
            left &= apart > distance * radius[first]
            left[first] = False
        return chosen


def _order(level: Level) -> tuple[tuple[int, ...], bytes]:
    """Return what puts two images in an order that does not depend on where they lie."""
    return level.values.shape, level.values.tobytes()


def _checked(initial_transform: Any, dimension: int) -> tuple[Array, Array]:
    if not initial_transform.IsLinear() or initial_transform.GetInputSpaceDimension() != dimension:
        raise ValueError(
            f"expected initial_transform to be a linear transform in {dimension}D, got "
            f"{initial_transform.GetNameOfClass()} in {initial_transform.GetInputSpaceDimension()}D"
        )
    matrix, offset = matrix_and_offset(initial_transform)
    determinant = np.linalg.det(matrix)
    if not determinant > 0:
        raise ValueError(
            "expected initial_transform to mirror nothing, with a positive determinant, got "
            f"{determinant:g}"
        )
    return matrix, offset


def project(matrix: Array, degrees: int) -> Array:
    """Return the nearest map of so many degrees of freedom that sends the center alike."""
    projected = matrix.copy()
    if degrees in (1, 2):
        projected[:-1, :-1] = nearest_rotation(matrix[:-1, :-1])
    if degrees == 2:
        projected[:-1, :-1] *= np.linalg.det(matrix[:-1, :-1]) ** (1 / (len(matrix) - 1))
    return projected


def generators(dimension: int, degrees: int) -> Array:
    """Return a basis of the infinitesimal motions, shape (K, D + 1, D + 1).

    Parameters
    ----------
    dimension : int
        2 or 3.
    degrees : int
        Of freedom, a number in ``ALIGNMENTS``.
    """
    units = np.eye((dimension + 1) ** 2).reshape(dimension + 1, dimension + 1, *[dimension + 1] * 2)
    axes = range(dimension)
    basis = [units[i, dimension] for i in axes]
    if degrees in (1, 2):
        basis += [units[i, j] - units[j, i] for i in axes for j in range(i)]
    if degrees == 2:
        basis.append(sum(units[i, i] for i in axes))
    if degrees == 3:
        basis += [units[i, j] for i in axes for j in axes]
    return np.array(basis)
