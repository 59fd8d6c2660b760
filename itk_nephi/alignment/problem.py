"""The stages of an alignment: search, refinement from coarse to fine, and a choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from itk_nephi.alignment.explained_variance import refine
from itk_nephi.alignment.level import Level
from itk_nephi.alignment.pyramid import Pyramid
from itk_nephi.alignment.rotation_search import search
from itk_nephi.alignment.rotations import nearest_rotation, small_rotations
from itk_nephi.alignment.slabs import Slab
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array
from itk_nephi.spatial.transforms import matrix_and_offset

RESOLUTIONS = {2: (48, 96, 192, 384), 3: (16, 32, 64)}
"""Blocks along the edge of a square or cube as large as the images, coarse to fine."""
MOST_POINTS = {2: (2500, 5000, 10_000, 20_000), 3: (2000, 3000, 20_000)}
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
CLOSE = 0.15
"""Similarity, as a share of the best, by which what is behind needs no closer look."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A homogeneous matrix from fixed to moving normalized coordinates, and how well it fits.

    ``near_home``: whether the given position leads to about the same map.
    """

    matrix: Array
    similarity: float
    start: str
    near_home: bool = False


class AlignmentProblem:
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
        stored = self._normalized(np.eye(self.dimension), pyramids[0].domain.center)
        sizes = (pyramids[0].size, pyramids[1].size)
        self.slab = Slab.of(sizes[::-1] if self.exchanged else sizes, stored)
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

    def searched(self, starts: dict[str, Array]) -> list[Candidate]:
        """Return candidates from the starts and from everywhere, refined on the coarsest level."""
        masked = all(pyramid.masked for pyramid in self.pyramids)
        if self.asked == 0:
            turns = next(iter(starts.values()))[None, :-1, :-1]
            matrices, _ = search(*self.levels[0], turns, masked=masked, peaks=KEPT[1])
        else:
            turns = small_rotations(self.dimension)
            if self.slab:
                turns = self.slab.turns(starts[self.home])
            peaks = KEPT[1] if len(turns) == 1 else 1
            matrices, _ = search(*self.levels[0], turns, masked=masked, peaks=peaks)
        matrices = self.slab.within_planes(matrices, starts.values())
        chosen = [
            Candidate(project(matrix, min(self.asked, 1)), 0.0, name, name == self.home)
            for name, matrix in starts.items()
        ]
        chosen += [
            Candidate(matrices[number], 0.0, "search")
            for number in self._apart(matrices, CANDIDATE_DISTANCE, KEPT[0])
        ]
        rigid = min(self.asked, 1)
        chosen = self._best([self._climbed(c, 0, rigid, 4) for c in chosen], KEPT[1])
        return self._best([self._climbed(c, 0, rigid, 12) for c in chosen], KEPT[2])

    def refined(self, candidates: list[Candidate], starts: dict[str, Array]) -> list[Candidate]:
        """Refine on the middle level; return distinct candidates, the best first."""
        rigid = min(self.asked, 1)
        candidates = self._best([self._climbed(c, 1, rigid, 12) for c in candidates], KEPT[3])
        if self.asked > 1 and "initial_transform" in starts:
            matrix = project(starts["initial_transform"], self.asked)
            candidates = [*candidates, Candidate(matrix, 0.0, "initial_transform", True)]
        # on either level more degrees of freedom may lead to another maximum
        coarse = candidates if self.asked > 1 else []
        for degrees in range(2, self.asked + 1):
            coarse = [self._climbed(c, 0, degrees, 20) for c in coarse]
            candidates = [self._climbed(c, 1, degrees, 12) for c in candidates]
        candidates = candidates + [self._climbed(c, 1, self.asked, 20) for c in coarse]
        return self._best(candidates, KEPT[3])

    def decided(self, candidates: list[Candidate]) -> tuple[Candidate, float]:
        """Refine on the fine levels; return the better one and how far the other was behind.

        The other one is the second-best, or that next to the given position if it is close.
        """
        best, *others = candidates
        final = self.finished(best)
        if not others or best.similarity <= 0:
            return final, 1.0
        least = (1 - CLOSE) * best.similarity
        near = [c for c in others if c.near_home and c.similarity >= least]
        rival = near[0] if near else others[0]
        margin = 1 - max(rival.similarity, 0.0) / best.similarity
        if margin < CLOSE:
            other = self.finished(rival, RIVAL_STEPS)
            if self._rank(other) > self._rank(final):
                final, other = self.finished(other), final
            if self._are_apart(final, other):
                margin = 1 - other.similarity / final.similarity
        return final, margin

    def _rank(self, candidate: Candidate) -> float:
        return candidate.similarity * (1 + PREFERRED * candidate.near_home)

    def mirror_margin(self, best: Candidate, final: Candidate) -> float:
        """Return how far the most similar mirror image is behind, share of the similarity."""
        if self.asked == 0 or best.similarity <= 0:
            return 1.0
        center = self.levels[1][0].center
        tried = []
        for axis in np.flatnonzero(~self.slab.fixed):
            mirror = np.eye(self.dimension + 1)
            mirror[axis, axis], mirror[axis, -1] = -1, 2 * center[axis]
            candidate = replace(best, matrix=best.matrix @ mirror)
            tried.append(self._climbed(candidate, 1, self.asked, 10))
        mirrored = max(tried, key=lambda candidate: candidate.similarity)
        margin = 1 - mirrored.similarity / best.similarity
        if margin < CLOSE:
            return 1 - self.finished(mirrored, RIVAL_STEPS).similarity / final.similarity
        return margin

    def finished(self, candidate: Candidate, steps: int = FINAL_STEPS) -> Candidate:
        """Refine on the fine levels."""
        for level in range(2, len(self.levels)):
            candidate = self._climbed(candidate, level, self.asked, steps)
        return candidate

    def _climbed(
        self, candidate: Candidate, level: int, degrees: int, iterations: int
    ) -> Candidate:
        fixed, moving = self.levels[level]
        precision = FINAL_PRECISION if level == len(self.levels) - 1 else PRECISION
        matrix, explained = refine(
            fixed,
            moving,
            candidate.matrix,
            self.slab.held(generators(self.dimension, degrees)),
            iterations=iterations,
            tolerance=precision * float(min(fixed.spacing.min(), moving.spacing.min())),
        )
        return replace(candidate, matrix=matrix, similarity=explained)

    def _best(self, candidates: list[Candidate], count: int) -> list[Candidate]:
        """Return the most similar distinct candidates, and that from the given position.

        Where several lead to about the same map, that of the search is kept, which is the same
        wherever the images lie.
        """
        ordered = sorted(candidates, key=lambda candidate: -candidate.similarity)
        first = sorted(ordered, key=lambda candidate: candidate.start != "search")
        matrices = np.array([candidate.matrix for candidate in first])
        numbers = self._apart(matrices, DISTINCT_DISTANCE, len(first))
        distinct = sorted((first[n] for n in numbers), key=lambda candidate: -candidate.similarity)
        for home in (candidate for candidate in candidates if candidate.near_home):
            distinct = [
                c if self._are_apart(c, home) else replace(c, near_home=True) for c in distinct
            ]
        return distinct[:count] + [c for c in distinct[count:] if c.near_home]

    def _are_apart(self, one: Candidate, other: Candidate) -> bool:
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
