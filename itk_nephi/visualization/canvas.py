"""A picture in the making: images, lines and text on white, drawn by Pillow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from itk_nephi.spatial.domain import Array

SCALE = 2
"""How many times larger all is drawn, so that lines have smooth edges when it is reduced."""

Pixel = Sequence[float] | Array
"""How far a point is from the upper left corner, to the right and down."""


class Canvas:
    """A white rectangle to draw on.

    Parameters
    ----------
    width, height : int
        Pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (SCALE * width, SCALE * height), "white")
        self._draw = ImageDraw.Draw(self._image)

    def fill(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Fill it with an image, in gray or of shape (rows, columns, 3)."""
        image = Image.fromarray(pixels).resize(self._image.size, Image.Resampling.NEAREST)
        self._image.paste(image.convert("RGB"))

    def paste(self, other: Canvas, corner: Pixel) -> None:
        """Show another canvas, with its upper left corner there."""
        self._image.paste(other._image, _scaled(corner))

    def line(
        self,
        points: Sequence[Pixel] | Array,
        color: str,
        width: float = 1,
        dashes: Sequence[float] = (),
    ) -> None:
        """Draw a line through points, in dashes of some lengths, if any, and gaps by turns."""
        line = np.asarray(points, float)
        for piece in _dashed(line, dashes) if dashes else [line]:
            self._draw.line((SCALE * piece).ravel().tolist(), color, round(SCALE * width), "curve")

    def frame(self, corner: Pixel, width: float, height: float) -> None:
        """Draw a black rectangle, one pixel wide, from its upper left corner."""
        (left, top), (across, down) = _scaled(corner), _scaled((width, height))
        self._draw.rectangle((left, top, left + across, top + down), None, "black", SCALE)

    def text(
        self,
        pixel: Pixel,
        text: str,
        *,
        size: float = 10,
        anchor: str = "lm",
        color: str = "black",
        edge: str | None = None,
        background: str | None = None,
    ) -> None:
        """Write a text.

        Parameters
        ----------
        pixel : (float, float)
            Where its anchor is.
        text : str
            One line.
        size : float
            Of its letters, pixels.
        anchor : str
            Left, middle or right; top, middle or bottom: the first letters of these.
        color : str
            Of its letters.
        edge, background : str, optional
            The color of a line around its letters, and of a box behind it.
        """
        anchor, font = anchor.replace("t", "a").replace("b", "d"), _font(SCALE * size)
        width = SCALE if edge else 0
        start = _scaled(pixel)
        if background:
            left, top, right, bottom = self._draw.textbbox(start, text, font, anchor)
            around = 2 * SCALE
            box = (left - around, top - around, right + around, bottom + around)
            self._draw.rectangle(box, background)
        self._draw.text(start, text, color, font, anchor, stroke_width=width, stroke_fill=edge)

    def upright_text(self, middle: Pixel, text: str, *, size: float = 10) -> None:
        """Write a black text that reads from the bottom to the top, around its middle."""
        font = _font(SCALE * size)
        left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).text((-left, -top), text, 255, font)
        mask = mask.transpose(Image.Transpose.ROTATE_90)
        x, y = _scaled(middle)
        self._image.paste("black", (x - mask.width // 2, y - mask.height // 2), mask)

    def finished(self) -> Image.Image:
        """Return the picture."""
        return self._image.reduce(SCALE)


@cache
def _font(size: float) -> Any:
    return ImageFont.load_default(size)


def _scaled(pixel: Pixel) -> tuple[int, int]:
    return round(SCALE * pixel[0]), round(SCALE * pixel[1])


def _dashed(points: Array, dashes: Sequence[float]) -> Iterator[Array]:
    """Yield the pieces of a line, shape (N, 2), that dashes cover, from its beginning on."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    rounds = int(along[-1] / sum(dashes)) + 1
    edges = np.concatenate([[0.0], np.cumsum(np.tile(dashes, rounds))])
    for start, end in zip(edges[:-1:2], edges[1::2], strict=True):
        inner = along[(along > start) & (along < end)]
        corners = np.minimum([start, *inner, end], along[-1])
        yield np.stack([np.interp(corners, along, points[:, axis]) for axis in (0, 1)], axis=1)
