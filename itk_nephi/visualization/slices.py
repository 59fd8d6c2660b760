"""Slices of images: pictures, maps in color, and the lines drawn on top of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from contourpy import contour_generator
from PIL import (
    Image,
    ImageColor,
    WebPImagePlugin,  # noqa: F401 - otherwise Pillow loads all formats it has for this one
)

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain, canonical_order
from itk_nephi.spatial.intensities import spread_numbers
from itk_nephi.spatial.transforms import jacobians, transform_points
from itk_nephi.visualization.palette import BLACK, DISTANCE, VOLUME, YELLOW, ColorMap
from itk_nephi.visualization.planes import Plane

BUDGET = 8_000_000
"""Bytes of all pictures together, about; they become worse until they fit."""

ENCODINGS = (("jpeg", 88), ("webp", 85), ("webp", 60), ("webp", 35), ("webp", 10))
"""Formats and qualities: WebP takes two thirds of the space, and ten times as long."""

POINTS = 60_000
"""At how many points of all slices together transforms are evaluated, about."""

LINES = 24
"""How many lines the deformed grid has along the longest side."""

SHADES = 6

SOME = 500_000
"""How many voxels are looked at to find a range, at most."""

FOLD = np.array([ImageColor.getrgb(color) for color in (BLACK, YELLOW)], np.uint8)

OUTSIDE = np.array([120, 160], np.uint8)

Bytes = npt.NDArray[np.uint8]

Window = Callable[[Array], Array]


def ordered(image: Any) -> npt.NDArray[Any]:
    """Return a view of an image's values in canonical order."""
    return canonical_order(itk.array_view_from_image(image), ImageDomain.of(image))


def window(values: npt.NDArray[Any]) -> Window:
    """Return what maps all but the most extreme of finite intensities to [0, 1], NaN to 0."""
    some = _some(values)
    some = some[np.isfinite(some)]
    low, high = np.percentile(some, (0.5, 99.5)) if some.size else (0.0, 1.0)
    width = (high - low) or 1.0
    return lambda shown: np.nan_to_num(np.clip((shown - low) / width, 0, 1))


def volume_limit(determinants: npt.NDArray[Any]) -> float:
    """Return what nearly all logarithms of Jacobian determinants are below, up to their sign."""
    some = _some(determinants)
    log = np.log(some[some > 0])
    return max(float(np.percentile(np.abs(log), 99.5)), 0.05) if log.size else 0.05


def picture(plane: Plane, values: npt.NDArray[Any], window: Window) -> Bytes:
    """Return one slice in gray, shape (rows, columns)."""
    return (resized(window(values), plane.size) * 255).astype(np.uint8)


def resized(values: npt.NDArray[Any], size: tuple[int, int]) -> Array:
    """Interpolate an array, shape (rows, columns), onto as many columns and rows; no aliases."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), float)


def filled(values: Array, outside: Array) -> npt.NDArray[np.bool_]:
    """Return which pixels of a slice resampling has filled with 0; ``outside`` is on any grid."""
    share = resized(outside, (values.shape[1], values.shape[0]))
    hidden: npt.NDArray[np.bool_] = (share > 0.5) | ((share > 0) & (values == 0))
    return hidden


def shaded(picture: Bytes, outside: npt.NDArray[np.bool_]) -> Bytes:
    """Return a picture with stripes where it shows anything of ``outside``, on any grid."""
    hidden = resized(outside, (picture.shape[1], picture.shape[0])) > 0.1
    return np.where(hidden, OUTSIDE[_stripes(picture.shape[:2], 6)], picture)


def volume_picture(plane: Plane, determinants: Array, limit: float) -> Bytes:
    """Return a slice of the logarithm of Jacobian determinants, purple to orange, folds striped."""
    folds = ~(determinants > 0)
    log = resized(np.log(np.where(folds, 1.0, determinants)), plane.size)
    colors = colored(log / (2 * limit) + 0.5, VOLUME)
    if folds.any():
        seen = np.pad(resized(folds, plane.size) > 0, 1)
        near = [np.roll(seen, shift, (0, 1)) for shift in np.ndindex(3, 3)]
        seen = np.any(near, axis=0)[2:, 2:]
        colors[seen] = FOLD[_stripes(seen.shape, 2)][seen]
    return colors


def colored(values: Array, colors: ColorMap) -> Bytes:
    """Return values in [0, 1] as colors, shape (..., 3)."""
    table = _table(tuple(colors.items()))
    # NaN, where nothing is known, in the first one
    position = np.nan_to_num(values * len(table))
    found: Bytes = table.take(np.clip(position, 0, len(table) - 1).astype(int), axis=0)
    return found


@cache
def _table(colors: tuple[tuple[float, str], ...]) -> Bytes:
    """Return the colors of a map, shape (256, 3)."""
    shares, names = zip(*colors, strict=True)
    channels = np.transpose([ImageColor.getrgb(name) for name in names])
    even = np.linspace(0, 1, 256)
    mixed = np.stack([np.interp(even, shares, channel) for channel in channels], axis=-1)
    table: Bytes = np.rint(mixed).astype(np.uint8)
    return table


def data_uri(content: bytes, kind: str) -> str:
    """Return a file as a ``data:`` address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def encoded(pictures: Sequence[Bytes]) -> list[str]:
    """Return pictures as addresses of files, in the first of ``ENCODINGS`` that fits the budget."""
    some = pictures[::7]  # of all kinds, which take turns
    for kind, quality in ENCODINGS:
        size = sum(len(_encoded(one, kind, quality)) for one in some)
        if size * len(pictures) <= BUDGET * len(some):
            break
    return [data_uri(_encoded(one, kind, quality), f"image/{kind}") for one in pictures]


def exact(pixels: Bytes) -> str:
    """Return a small picture as the address of a PNG file, unchanged."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return data_uri(content.getvalue(), "image/png")


class SliceSampling:
    """Coarse points of all slices of a plane, to evaluate transforms at.

    Parameters
    ----------
    plane : Plane
        The slices.
    pixels : int
        Pixels of all slices of all planes.
    """

    def __init__(self, plane: Plane, pixels: int) -> None:
        step = max(1.0, np.sqrt(pixels / POINTS))
        self.plane = plane
        self.shape = tuple(max(2, round(n / step)) for n in plane.size[::-1])

    def points(self) -> Array:
        """Return all points, mm, shape (slices * rows * columns, D)."""
        return np.concatenate(
            [self.plane.even_points(index, self.shape) for index in self.plane.indices]
        )

    def slices(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give a value for each point the shape (slices, rows, columns)."""
        return values.reshape(-1, *self.shape)


def outline(plane: Plane, mask: npt.NDArray[Any]) -> list[Array]:
    """Return the boundary of a slice of a mask: lines of pixels, shape (N, 2)."""
    rows, columns = mask.shape
    horizontal, vertical = plane.size
    across = (np.arange(-1, columns + 1) + 0.5) * horizontal / columns
    down = (np.arange(-1, rows + 1) + 0.5) * vertical / rows
    contour = contour_generator(across, down, np.pad(mask != 0, 1).astype(float))
    return [np.asarray(line) for line in contour.lines(0.5)]


def path(line: Array) -> str:
    """Return pixels, shape (N, 2), as an SVG path in tenths of a pixel."""
    tenths = np.rint(line * 10).astype(int)
    (x, y), steps = tenths[0], np.diff(tenths, axis=0)
    return f"M{x} {y}l{' '.join(map(str, steps.ravel().tolist()))}"


class Grid:
    """The lines of a regular grid in each slice of a plane, moved by a field and seen from ahead.

    The field is what a transform does beyond the initial one: the displacement between the two,
    taken back by the initial transform's Jacobian, unless that is singular. For an affine initial
    transform it is exact.

    Parameters
    ----------
    plane : Plane
        The slices.
    fixed_to_moving, initial_transform : itk.Transform
        The transform, and the initial one.
    indices : sequence of int, optional
        Which slices, if not all that the plane shows.

    Attributes
    ----------
    largest : float
        What nearly all displacements are below, mm.
    """

    def __init__(
        self,
        plane: Plane,
        fixed_to_moving: Any,
        initial_transform: Any,
        indices: Sequence[int] | None = None,
    ) -> None:
        indices = plane.indices if indices is None else indices
        width, height = plane.size
        gap = max(width, height) / LINES
        across, down = ((np.arange(length // gap) + 0.5) * gap for length in (width, height))
        along, side = (np.linspace(0, length, LINES + 1) for length in (width, height))
        lines = [np.stack([along, np.full_like(along, y)], axis=-1) for y in down]
        lines += [np.stack([np.full_like(side, x), side], axis=-1) for x in across]
        pixels = np.concatenate(lines)
        points = np.concatenate([plane.points(index, pixels) for index in indices])
        residual = transform_points(fixed_to_moving, points) - transform_points(
            initial_transform, points
        )
        initial = jacobians(initial_transform, points)
        initial[np.linalg.det(initial) == 0] = np.eye(plane.domain.dimension)
        displacement = np.linalg.solve(initial, residual[..., None])[..., 0]
        shape = (len(indices), len(lines), -1)
        self._pixels = plane.project(points + displacement).reshape(*shape, 2)
        distances = np.linalg.norm(displacement, axis=1)
        self.largest = float(np.percentile(distances, 99))
        distances = distances.reshape(shape)
        self._distances = (distances[..., 1:] + distances[..., :-1]) / 2

    def lines(self, number: int) -> tuple[Array, Array]:
        """Return the lines of a slice, and the displacements of their pieces.

        Parameters
        ----------
        number : int
            Of the slice, from 0.

        Returns
        -------
        pixels : array, shape (L, N, 2)
            Of the points of each line.
        distances : array, shape (L, N - 1)
            The displacement in the middle of each piece, mm.
        """
        return self._pixels[number], self._distances[number]

    def paths(self, number: int, largest: float) -> list[str]:
        """Return an SVG path for each shade of displacement, from 0 to ``largest`` mm."""
        pixels, distances = self.lines(number)
        shades = shade_numbers(distances.ravel(), largest or 1)
        tenths = np.rint(pixels * 10).astype(int)
        pieces = np.concatenate([tenths[:, :-1], np.diff(tenths, axis=1)], axis=2).reshape(-1, 4)
        order = np.argsort(shades, kind="stable")
        # a path continues where the piece before it in its line has the same shade
        begins = (np.diff(order, prepend=-2) != 1) | (order % distances.shape[1] == 0)
        ends = np.searchsorted(shades[order], np.arange(1, SHADES))
        paths = []
        for some, begun in zip(np.split(order, ends), np.split(begins, ends), strict=True):
            form = "".join(np.where(begun, "M%d %dl%d %d", " %d %d").tolist())
            shown = np.stack([begun, begun, *[np.ones_like(begun)] * 2], axis=1)
            paths.append(form % tuple(pieces[some][shown].tolist()))
        return paths


def marks(fixed: Array, back: Array) -> str:
    """Return crosses at fixed landmarks, and lines to the moving ones mapped back; pixels."""
    cross = "m-25 0l50 0m-25 -25l0 50"
    lines = np.rint(np.stack([fixed, back], axis=1) * 10).astype(int)
    return "".join(f"M{x} {y}{cross}M{x} {y}L{u} {v}" for (x, y), (u, v) in lines.tolist())


def color_bar(colors: ColorMap) -> str:
    """Return a color map from left to right, as the address of a PNG file."""
    return exact(colored(np.linspace(0, 1, 256)[None], colors))


def shade_numbers(distances: Array, largest: float) -> npt.NDArray[np.int_]:
    """Return the shades of distances from 0 to the largest, by number."""
    return np.minimum(distances / largest * SHADES, SHADES - 1).astype(int)


def shade_colors() -> Bytes:
    """Return the colors of the shades, shape (N, 3), light enough for a dark image."""
    return colored(np.linspace(0.5, 1, SHADES), DISTANCE)


def shades() -> list[str]:
    """Return the colors of the shades in hexadecimal."""
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in shade_colors()]


def _some(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.reshape(-1)[spread_numbers(values.size, SOME)]


def _stripes(shape: Sequence[int], width: int) -> npt.NDArray[np.int_]:
    rows, columns = np.indices(shape)
    return np.asarray((rows + columns) // width % 2)


def _encoded(pixels: Bytes, kind: str, quality: int) -> bytes:
    content = io.BytesIO()
    # JPEG's colors as sharp as its gray, as folds are striped; WebP's in the quickest way
    Image.fromarray(pixels).save(content, kind, quality=quality, subsampling=0, method=0)
    return content.getvalue()
