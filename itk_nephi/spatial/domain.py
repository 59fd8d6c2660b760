"""The geometry of voxel grids, and the coords of fields on them.

A field lives on an :class:`ImageDomain`, the box of one image. Its *coords* are isotropic: centered
on the box, turned by the direction cosines, and divided by one scale for all axes, half of the
longest edge in mm. So a derivative means the same in every direction, whatever the voxels' shape.
Components are always in ITK's order, x (or i) first; only the axes of arrays are reversed
(k, j, i). Everything here stands on ITK and numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk

Array = npt.NDArray[np.float64]

Image: TypeAlias = Any
"""An ``itk.Image``; ITK ships no types."""

Transform: TypeAlias = Any
"""An ``itk.Transform`` of double precision, that maps points to points, mm."""


SAME_VOXEL = 1e-2
"""How far apart voxels may be that count as the same, voxels."""


@dataclass(frozen=True)
class ImageDomain:
    """The voxel grid of an image and where it lies in physical space.

    Parameters
    ----------
    size : tuple of int
        Voxels along each axis, at least two.
    spacing : tuple of float
        Distance between voxel centers, mm.
    origin : tuple of float
        Physical point of the first voxel's center, mm.
    direction : tuple of tuple of float
        Direction cosines; column ``i`` is the physical direction of grid axis ``i``.

    Raises
    ------
    ValueError
        If a value is out of range or the direction is not orthonormal.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise ValueError(f"expected an image in 2 or 3 dimensions, got {self.dimension}")
        if min(self.size) < 2:
            raise ValueError(f"expected at least two voxels on every axis, got size {self.size}")
        if not all(0 < s < np.inf for s in self.spacing):
            raise ValueError(f"expected positive spacing, got {self.spacing}")
        rotation = np.array(self.direction)
        if not np.allclose(rotation.T @ rotation, np.eye(self.dimension), atol=1e-4):
            raise ValueError(f"expected orthonormal direction cosines, got {self.direction}")

    @classmethod
    def of_transform(cls, transform: Any) -> ImageDomain:
        """Return the domain of the fields of an ``itk.NePhiTransform``."""
        return cls(
            size=transform.GetSize(),
            spacing=transform.GetSpacing(),
            origin=transform.GetOrigin(),
            direction=transform.GetDirection(),
        )

    @classmethod
    def of(cls, image: Any) -> ImageDomain:
        """Return the domain of an ``itk.Image``."""
        region = image.GetLargestPossibleRegion()
        index = [int(i) for i in region.GetIndex()]
        return cls(
            size=tuple(int(n) for n in region.GetSize()),
            spacing=tuple(float(s) for s in image.GetSpacing()),
            origin=tuple(float(x) for x in image.TransformIndexToPhysicalPoint(index)),
            direction=_rows(itk.array_from_matrix(image.GetDirection())),
        )

    @property
    def dimension(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return len(self.size)

    @property
    def half_extent(self) -> Array:
        """Half of the distance between the first and the last voxel center of each axis, mm."""
        half: Array = (np.array(self.size) - 1) * np.array(self.spacing) / 2
        return half

    @property
    def scale(self) -> float:
        """The length of one unit of coords, mm: half of the longest edge."""
        return float(self.half_extent.max())

    @property
    def bounds(self) -> tuple[float, ...]:
        """The largest coords inside the box, per axis; 1 for the longest.

        Rounded, so that the unit of length leaves no trace.
        """
        return tuple(float(b) for b in np.round(self.half_extent / self.scale, 12))

    @property
    def center(self) -> Array:
        """The physical point half-way between the first and the last voxel center, mm."""
        return np.array(self.origin) + np.array(self.direction) @ self.half_extent

    @property
    def voxel_size(self) -> float:
        """The edge of a cube (square) as large as one voxel, mm."""
        return float(np.prod(self.spacing) ** (1 / self.dimension))

    def points_from_coords(self, coords: npt.ArrayLike) -> Array:
        """Map coords to physical points.

        Parameters
        ----------
        coords : array, shape (..., D)
            Isotropic coords of this domain, dimensionless.

        Returns
        -------
        array, shape (..., D)
            Physical points, mm.
        """
        points: Array = self.scale * np.asarray(coords) @ np.array(self.direction).T + self.center
        return points

    def coords_from_points(self, points: npt.ArrayLike) -> Array:
        """Map physical points to coords; the inverse of :meth:`points_from_coords`."""
        offset = np.asarray(points) - self.center
        coords: Array = offset @ np.array(self.direction) / self.scale
        return coords

    def points_from_index(self, index: npt.ArrayLike) -> Array:
        """Map continuous indices, shape (..., D), to physical points, mm."""
        scaled = np.asarray(index) * np.array(self.spacing)
        points: Array = scaled @ np.array(self.direction).T + np.array(self.origin)
        return points

    def index_from_points(self, points: npt.ArrayLike) -> Array:
        """Map physical points, mm, shape (..., D), to continuous indices."""
        offset = np.asarray(points) - np.array(self.origin)
        index: Array = offset @ np.array(self.direction) / np.array(self.spacing)
        return index

    def voxel_points(self, voxels: npt.NDArray[np.int_]) -> Array:
        """Return the physical points, mm, shape (..., D), of voxels numbered as they are stored."""
        index = np.unravel_index(voxels, self.size[::-1])
        return self.points_from_index(np.stack(index[::-1], axis=-1))

    def grid_points(self) -> Array:
        """Return the physical points of all voxel centers, mm, shape (k, j, i, D)."""
        return self.voxel_points(np.arange(np.prod(self.size)).reshape(self.size[::-1]))

    def contains(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return whether each physical point, mm, shape (..., D), lies in one of the voxels."""
        index = self.index_from_points(points)
        return np.asarray(((index >= -0.5) & (index < np.array(self.size) - 0.5)).all(axis=-1))

    def canonical_axes(self) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Return the grid axis closest to each physical axis, and whether it runs backwards."""
        direction = np.array(self.direction)
        axes = range(self.dimension)

        def agreement(order: tuple[int, ...]) -> float:
            return float(sum(abs(direction[axis, order[axis]]) for axis in axes))

        order = max(permutations(axes), key=agreement)
        return order, tuple(bool(direction[axis, order[axis]] < 0) for axis in axes)

    def canonical(self) -> ImageDomain:
        """Return the same box with axes reordered and flipped to be closest to physical x, y, z.

        Images that differ only in the order in which voxels are stored have the same canonical
        domain, so that they get the same field.
        """
        order, backwards = self.canonical_axes()
        last = np.zeros(self.dimension)
        last[list(order)] = [
            self.size[axis] - 1 if back else 0 for axis, back in zip(order, backwards, strict=True)
        ]
        signs = np.where(backwards, -1.0, 1.0)
        return ImageDomain(
            size=tuple(self.size[axis] for axis in order),
            spacing=tuple(self.spacing[axis] for axis in order),
            origin=tuple(float(x) for x in self.points_from_index(last)),
            direction=_rows(np.array(self.direction)[:, order] * signs),
        )

    def twice_as_fine(self) -> ImageDomain:
        """Return the same voxel centers, and those midway between them along the axes."""
        return replace(
            self,
            size=tuple(2 * n - 1 for n in self.size),
            spacing=tuple(s / 2 for s in self.spacing),
        )

    def subdivided(self, parts: int) -> ImageDomain:
        """Return the centers of the voxels' parts, so many along each axis."""
        return replace(
            self,
            size=tuple(parts * n for n in self.size),
            spacing=tuple(s / parts for s in self.spacing),
            origin=tuple(self.points_from_index([(1 / parts - 1) / 2] * self.dimension).tolist()),
        )

    def turned(self, rotation: Array) -> ImageDomain:
        """Return the same voxels after a rotation, shape (D, D), about the physical origin."""
        return replace(
            self,
            origin=tuple(float(x) for x in rotation @ np.array(self.origin)),
            direction=_rows(rotation @ np.array(self.direction)),
        )

    def matches(self, other: ImageDomain) -> bool:
        """Return whether both describe the same voxels, to a hundredth of a voxel.

        NIfTI files round to single precision, which moves voxels by some thousandths.
        """
        return self.size == other.size and self.largest_shift(other) < SAME_VOXEL

    def largest_shift(self, other: ImageDomain) -> float:
        """Return how far the corners of a box of the same size are from those of another, voxels.

        Rounding to single precision of points far from the origin does not count.
        """
        corners = np.array(list(product(*((0.0, n - 1.0) for n in self.size))))
        ours, others = (box.points_from_index(corners) for box in (self, other))
        rounding = np.finfo(np.float32).eps * np.abs(ours).max()
        distance = np.abs(ours - others).max() - rounding
        return max(float(distance) / min(self.spacing), 0.0)


def image_from_array(values: npt.NDArray[Any], domain: ImageDomain) -> Any:
    """Return an ``itk.Image`` of an array of shape (k, j, i) on a domain."""
    image = itk.image_from_array(np.ascontiguousarray(values))
    image.SetSpacing(domain.spacing)
    image.SetOrigin(domain.origin)
    image.SetDirection(itk.matrix_from_array(np.array(domain.direction)))
    return image


def image_like(reference: Any, values: npt.NDArray[Any]) -> Any:
    """Return an ``itk.Image`` of an array, shape (k, j, i), on the grid of another image."""
    return image_from_array(values, ImageDomain.of(reference))


def difference(domain: ImageDomain, expected: ImageDomain) -> str:
    """Return in words what differs between two grids, with as many digits as it takes."""
    parts = []
    for name, ours, others in (
        ("size", domain.size, expected.size),
        ("spacing", domain.spacing, expected.spacing),
        ("origin", domain.origin, expected.origin),
        ("direction", sum(domain.direction, ()), sum(expected.direction, ())),
    ):
        if len(ours) != len(others) or not np.allclose(ours, others, rtol=1e-9, atol=0):
            parts.append(f"{name} {_apart(ours, others)}")
    if domain.size == expected.size:
        parts.append(f"voxels up to {domain.largest_shift(expected):.2g} voxels apart")
    return ", ".join(parts)


def _apart(ours: tuple[float, ...], others: tuple[float, ...]) -> str:
    """Return two rows of numbers, with the fewest digits that differ."""
    for digits in (6, 9, 12, 17):
        words = [
            "(" + ", ".join(f"{x + 0.0:.{digits}g}" for x in numbers) + ")"
            for numbers in (ours, others)
        ]
        if words[0] != words[1]:
            break
    return f"{words[0]} instead of {words[1]}"


def canonical_order(values: npt.NDArray[Any], domain: ImageDomain) -> npt.NDArray[Any]:
    """Return a view of an array, shape (k, j, i), of a domain in the order of its canonical one."""
    order, backwards = domain.canonical_axes()
    last = domain.dimension - 1
    values = values.transpose([last - axis for axis in reversed(order)])
    return np.flip(values, tuple(last - axis for axis, back in enumerate(backwards) if back))


def _rows(matrix: npt.NDArray[Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix)
