"""Planes through a voxel grid: which slices of it to show, how large, and which way up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial.domain import Array, ImageDomain

SLICES = 40
"""How many slices a plane has at most."""

PIXELS = {2: 1024, 3: 320}
"""The longest side of a picture, pixels, by the dimension of the image."""

NAMES = {None: "image", 0: "sagittal", 1: "coronal", 2: "axial"}

LETTERS = ("RL", "AP", "IS")

OBLIQUE = np.sin(np.radians(20))
"""From which component on a direction gets a second letter."""

SCALE_BARS = (0.5, 1.0, 2.0, 5.0)
"""Lengths of scale bars, times a power of ten."""


@dataclass(frozen=True)
class Plane:
    """Parallel slices of a grid, each drawn as a picture of square pixels.

    The head is up, the front at the top of axial slices, and the patient's right on the left. A 2D
    image is one slice with its first row at the top. *Pixels* are coordinates in a picture, from
    its upper left corner to the right and down.

    Parameters
    ----------
    domain : ImageDomain
        A canonical one.
    across : int or None
        The axis of the grid that the slices cut; None in 2D.
    """

    domain: ImageDomain
    across: int | None

    @classmethod
    def all_of(cls, domain: ImageDomain) -> list[Plane]:
        """Return the axial, coronal and sagittal plane of a canonical domain, or the one of 2D."""
        return [cls(domain, across) for across in ((2, 1, 0) if domain.dimension == 3 else (None,))]

    @classmethod
    def coronal(cls, domain: ImageDomain) -> Plane:
        """Return the coronal plane of a canonical domain, or the one of 2D."""
        return cls(domain, 1 if domain.dimension == 3 else None)

    @property
    def name(self) -> str:
        """What radiologists call it."""
        return NAMES[self.across]

    @cached_property
    def axes(self) -> list[int]:
        """The axes of the grid that run along a picture and along its side."""
        return [axis for axis in range(self.domain.dimension) if axis != self.across]

    @property
    def upwards(self) -> bool:
        """Whether the second of the axes runs from the bottom to the top."""
        return self.axes[1] == 2

    @cached_property
    def pixel(self) -> float:
        """The edge of a pixel, mm; the same for all planes of a domain."""
        extent = np.array(self.domain.size) * self.domain.spacing
        longest = PIXELS[self.domain.dimension]
        return max(min(self.domain.spacing), float(extent.max()) / longest)

    @cached_property
    def extent(self) -> tuple[float, float]:
        """Width and height of a picture, mm."""
        width, height = (self.domain.size[axis] * self.domain.spacing[axis] for axis in self.axes)
        return width, height

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of a picture, pixels."""
        width, height = (max(1, round(length / self.pixel)) for length in self.extent)
        return width, height

    @cached_property
    def indices(self) -> list[int]:
        """The indices of the slices, evenly spaced from the first to the last."""
        if self.across is None:
            return [0]
        count = self.domain.size[self.across]
        shown = np.linspace(0, count - 1, min(count, SLICES))
        return [int(index) for index in np.rint(shown)]

    @property
    def scale_bar(self) -> float:
        """The length of a scale bar, mm, at most a third of the width."""
        longest = self.extent[0] / 3
        unit = 10.0 ** np.floor(np.log10(longest))
        return float(max(length * unit for length in SCALE_BARS if length * unit <= longest))

    @property
    def letters(self) -> dict[str, str]:
        """What lies at each edge: R, L, A, P, I or S; two letters, larger first, if in between."""
        if self.across is None:
            return {"left": "", "right": "x", "top": "", "bottom": "y"}
        first, second = (np.array(self.domain.direction)[:, axis] for axis in self.axes)
        if self.upwards:
            second = -second
        directions = {"left": -first, "right": first, "top": -second, "bottom": second}
        return {edge: _letters(direction) for edge, direction in directions.items()}

    def start(self, mask: npt.NDArray[Any] | None = None) -> int:
        """Return the number of the slice closest to the middle of the grid, or of a mask if any.

        Parameters
        ----------
        mask : array, shape (k, j, i), optional
            In canonical order; non-zero inside.
        """
        if self.across is None:
            return 0
        middle = (self.domain.size[self.across] - 1) / 2
        if mask is not None and mask.any():
            others = {0, 1, 2} - {2 - self.across}
            counts = np.count_nonzero(mask, axis=tuple(others))
            middle = float(np.average(np.arange(len(counts)), weights=counts))
        return int(np.abs(np.array(self.indices) - middle).argmin())

    def position(self, index: int) -> str:
        """Return the distance of a slice from the first one, in words; nothing in 2D."""
        if self.across is None:
            return ""
        backwards = -np.array(self.domain.direction)[:, self.across]
        spacing = self.domain.spacing[self.across]
        decimals = max(1, int(np.ceil(-np.log10(spacing))))
        return f"{index * spacing:.{decimals}f} mm from {_letters(backwards)}"

    def cut(self, values: npt.NDArray[Any], index: int) -> npt.NDArray[Any]:
        """Return one slice of an array in canonical order, its first row at the top."""
        if self.across is not None:
            values = np.take(values, index, axis=self.domain.dimension - 1 - self.across)
        return values[::-1] if self.upwards else values

    def even_points(self, index: int, shape: tuple[int, ...]) -> Array:
        """Return physical points, mm, shape (rows * columns, D), in the middles of even cells.

        Parameters
        ----------
        index : int
            Of the slice.
        shape : tuple of int
            Rows and columns of cells; those of :meth:`cut` give the voxels' centers.
        """
        rows, columns = np.indices(shape) + 0.5
        cells = np.stack([columns, rows], axis=-1).reshape(-1, 2)
        return self.points(index, cells * (np.array(self.size) / shape[::-1]))

    def points(self, index: int, pixels: Array) -> Array:
        """Return the physical points, mm, shape (N, D), of pixels of a slice, shape (N, 2)."""
        along = pixels * np.array(self.extent) / self.size
        if self.upwards:
            along = np.array([0, self.extent[1]]) + along * [1, -1]
        indices = np.full((len(pixels), self.domain.dimension), float(index))
        indices[:, self.axes] = along / np.array(self.domain.spacing)[self.axes] - 0.5
        return self.domain.points_from_index(indices)

    def project(self, points: Array) -> Array:
        """Return the pixels, shape (N, 2), of physical points, projected along the normal."""
        indices = self.domain.index_from_points(points)[:, self.axes]
        along = (indices + 0.5) * np.array(self.domain.spacing)[self.axes]
        if self.upwards:
            along = np.array([0, self.extent[1]]) + along * [1, -1]
        pixels: Array = along / np.array(self.extent) * self.size
        return pixels


def _letters(direction: Array) -> str:
    largest_first = np.argsort(-np.abs(direction), kind="stable")
    return "".join(
        LETTERS[axis][int(direction[axis] > 0)]
        for axis in largest_first
        if abs(direction[axis]) > OBLIQUE
    )
