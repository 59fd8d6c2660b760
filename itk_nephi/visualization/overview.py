"""One picture of a registration: what went in, what came out, and how it got there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from itk_nephi.evaluation.statistics import percentage
from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.resampling import sample_image
from itk_nephi.spatial.transforms import jacobians, transform_points
from itk_nephi.visualization import slices
from itk_nephi.visualization.canvas import Canvas, Pixel
from itk_nephi.visualization.palette import DIMMED, GRAY, OUTLINE, VOLUME
from itk_nephi.visualization.planes import Plane
from itk_nephi.visualization.plots import LossCurves, Progress

TILES = 8
"""How many tiles a checkerboard has along the longest side."""

EDGES = {
    "left": (0.03, 0.5, "lm"),
    "right": (0.97, 0.5, "rm"),
    "top": (0.5, 0.03, "mt"),
    "bottom": (0.5, 0.97, "mb"),
}
"""Where in a picture, from 0 to 1, the letter of an edge is, and how it is anchored there."""

COLUMNS = 4
"""How many panels stand side by side; the losses are the last of the first row."""

CELL, HEADING = 416, 26
"""The width of a panel with its margins, and the height of the line above all; pixels."""

LEFT, TOP, BOTTOM = 18, 32, 14
"""What is free around a picture, pixels."""

WIDTH, HEIGHTS = 330, (250, 500)
"""The width of a picture, and its least and its largest height; pixels."""

LOWEST_BAR = 150
"""The least height of a color bar, pixels."""

NUMBERS = 34
"""What is free for numbers at the axes of the losses, pixels."""

LEGEND = 3, 15
"""How many names of losses stand side by side below, and the height of such a row, pixels."""

LIGHT_GRAY = "#dddddd"
"""Of the lines behind the losses."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ColorBar:
    """What the colors of a panel mean.

    Parameters
    ----------
    colors : array, shape (N, 3)
        From the lowest value to the highest.
    ends : (float, float)
        These values.
    label : str
        What they are.
    """

    colors: slices.Bytes
    ends: tuple[float, float]
    label: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """A picture of the slice.

    Parameters
    ----------
    title : str
        Above it.
    pixels : array of uint8, shape (rows, columns) or (rows, columns, 3)
        Of the size of the plane.
    lines : sequence of (array, shape (N, 2), str)
        Lines on it, pixels, and their colors.
    note : str
        On it.
    color_bar : ColorBar, optional
        Beside it.
    """

    title: str
    pixels: slices.Bytes
    lines: Sequence[tuple[Array, str]] = ()
    note: str = ""
    color_bar: ColorBar | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Overview:
    """What the picture of a registration shows.

    Parameters
    ----------
    plane : Plane
        Which way the slice lies.
    heading : str
        Above all panels.
    panels : tuple of Panel
        The fixed image, the moving one before and after, checkerboards before and after, the
        deformed grid, and the Jacobian determinant.
    """

    plane: Plane
    heading: str
    panels: tuple[Panel, ...]

    @classmethod
    def of(
        cls,
        fixed: Any,
        moving: Any,
        fixed_to_moving: Any,
        initial_transform: Any,
        *,
        fixed_mask: Any = None,
    ) -> Overview:
        """Return what is shown of a registration; arguments as of :func:`draw_overview`."""
        plane = Plane.coronal(ImageDomain.of(fixed).canonical())
        mask = None if fixed_mask is None else slices.ordered(fixed_mask)
        index = plane.indices[plane.start(mask)]
        outline = [] if mask is None else slices.outline(plane, plane.cut(mask, index))
        lines = [(line, OUTLINE) for line in outline]
        target = plane.cut(slices.ordered(fixed), index)
        points = plane.even_points(index, target.shape)
        values = [
            sample_image(moving, transform_points(transform, points)).reshape(target.shape)
            for transform in (initial_transform, fixed_to_moving)
        ]
        window = slices.window(values[1])
        before, after = (_picture(plane, each, window) for each in values)
        still = slices.picture(plane, target, slices.window(target))
        grid = slices.Grid(plane, fixed_to_moving, initial_transform, [index])
        determinants = np.linalg.det(jacobians(fixed_to_moving, points)).reshape(target.shape)
        notes = [f"{plane.name}, {plane.position(index)}"] if plane.position(index) else []
        notes += ["blue line: fixed mask"] if outline else []
        return cls(
            plane=plane,
            heading="  |  ".join([*notes, "striped: outside the moving image"]),
            panels=(
                Panel(title="fixed image", pixels=still, lines=lines),
                Panel(title="moving image, initial transform only", pixels=before, lines=lines),
                Panel(title="moving image, registered", pixels=after, lines=lines),
                Panel(
                    title="checkerboard of fixed and moving: before",
                    pixels=_checkerboard(still, before),
                ),
                Panel(
                    title="checkerboard of fixed and moving: after",
                    pixels=_checkerboard(still, after),
                ),
                _grid_panel(grid, still),
                _volume_panel(plane, determinants, lines),
            ),
        )

    def draw(self, history: Sequence[Progress]) -> Image.Image:
        """Draw it, the losses beside the third panel."""
        width, height = self.plane.size
        lowest, highest = HEIGHTS
        scale = min(WIDTH / width, highest / height)
        room = max(lowest, round(scale * height))
        cell = TOP + room + BOTTOM
        across = COLUMNS * CELL
        sheet = Image.new("RGB", (across, HEADING + 2 * cell), "white")
        heading = Canvas(across, HEADING)
        heading.text((across / 2, HEADING / 2), self.heading, size=12, anchor="mm")
        sheet.paste(heading.finished(), (0, 0))
        first, others = self.panels[: COLUMNS - 1], self.panels[COLUMNS - 1 :]
        for number, panel in enumerate((*first, None, *others)):
            canvas = Canvas(CELL, cell)
            if panel is None:
                _draw_losses(canvas, history, room)
            else:
                _draw_panel(canvas, _drawn(panel, self.plane, scale), panel, room)
            row, column = divmod(number, COLUMNS)
            sheet.paste(canvas.finished(), (column * CELL, HEADING + row * cell))
        return sheet


def draw_overview(
    fixed: Any,
    moving: Any,
    fixed_to_moving: Any,
    initial_transform: Any,
    history: Sequence[Progress],
    *,
    fixed_mask: Any = None,
) -> Image.Image:
    """Draw a registration: images before and after, checkerboards, grid, Jacobian, losses.

    Of a 3D image the coronal slice of its grid closest to the middle of the mask is drawn, the one
    with which the report starts; which way is up is that of
    :class:`itk_nephi.visualization.planes.Plane`.

    Parameters
    ----------
    fixed, moving : itk.Image
        The scalar images.
    fixed_to_moving : itk.CompositeTransform
        The result; its last parts are the initial transform.
    initial_transform : itk.Transform
        The initial transform, fixed to moving.
    history : sequence of Progress
        The losses of each step; may be empty.
    fixed_mask : itk.Image, optional
        On the grid of ``fixed``; outlined.

    Returns
    -------
    PIL.Image.Image
        Notebooks show it; ``save`` writes it.
    """
    transforms = fixed_to_moving, initial_transform
    return Overview.of(fixed, moving, *transforms, fixed_mask=fixed_mask).draw(history)


def _picture(plane: Plane, values: Array, window: slices.Window) -> slices.Bytes:
    """Return a slice in gray, striped where a value is NaN."""
    outside = np.isnan(values)
    return slices.shaded(slices.picture(plane, np.where(outside, 0, values), window), outside)


def _checkerboard(first: slices.Bytes, second: slices.Bytes) -> slices.Bytes:
    tile = max(1, max(first.shape) // TILES)
    rows, columns = np.indices(first.shape) // tile
    return np.where((rows + columns) % 2 == 0, first, second)


def _grid_panel(grid: slices.Grid, picture: slices.Bytes) -> Panel:
    pixels, distances = grid.lines(0)
    pieces = np.stack([pixels[:, :-1], pixels[:, 1:]], axis=2).reshape(-1, 2, 2)
    shades, largest = slices.shades(), grid.largest or 1.0
    colors = [shades[number] for number in slices.shade_numbers(distances.ravel(), largest)]
    return Panel(
        title="grid deformed by the field",
        pixels=(DIMMED * picture).astype(np.uint8),
        lines=list(zip(pieces, colors, strict=True)),
        color_bar=ColorBar(
            colors=slices.shade_colors(), ends=(0.0, largest), label="displacement, mm"
        ),
    )


def _volume_panel(plane: Plane, determinants: Array, lines: Sequence[tuple[Array, str]]) -> Panel:
    limit = slices.volume_limit(determinants)
    folded = float(np.mean(~(determinants > 0)))
    return Panel(
        title="logarithm of the Jacobian determinant",
        pixels=slices.volume_picture(plane, determinants, limit),
        lines=lines,
        note=f"folding (striped): {percentage(folded)}" if folded else "no folding in this slice",
        color_bar=ColorBar(
            colors=slices.colored(np.linspace(0, 1, 256), VOLUME),
            ends=(-limit, limit),
            label="< 0: compressed, > 0: expanded",
        ),
    )


def _drawn(panel: Panel, plane: Plane, scale: float) -> Canvas:
    """Draw a panel's picture, its pixels as large as ``scale``."""
    rows, columns = panel.pixels.shape[:2]
    canvas = Canvas(max(1, round(scale * columns)), max(1, round(scale * rows)))
    size = np.array([canvas.width, canvas.height])
    canvas.fill(panel.pixels)
    for points, color in panel.lines:
        canvas.line(scale * points, color, 1.5)
    for edge, (x, y, anchor) in EDGES.items():
        letter = plane.letters[edge]
        canvas.text(size * (x, y), letter, size=14, anchor=anchor, color="white", edge="black")
    start, low = size * (0.03, 0.96)
    end = start + plane.scale_bar / plane.extent[0] * canvas.width
    canvas.line([(start - 1, low), (end + 1, low)], "black", 4)
    canvas.line([(start, low), (end, low)], "white", 2)
    length = f"{plane.scale_bar:g} mm"
    canvas.text((start, low - 4), length, size=11, anchor="lb", color="white", edge="black")
    if panel.note:
        canvas.text(size * (0.97, 0.96), panel.note, size=11, anchor="rb", background="white")
    canvas.frame((0, 0), canvas.width, canvas.height)
    return canvas


def _draw_panel(canvas: Canvas, picture: Canvas, panel: Panel, room: int) -> None:
    """Draw a panel's picture in the middle of its room, between title and color bar."""
    left, top = LEFT + (WIDTH - picture.width) / 2, TOP + (room - picture.height) / 2
    canvas.text((LEFT + WIDTH / 2, TOP - 14), panel.title, size=15, anchor="mm")
    canvas.paste(picture, (left, top))
    if panel.color_bar is not None:
        height = max(LOWEST_BAR, picture.height - 10)
        corner = left + picture.width + 7, TOP + (room - height) / 2
        _draw_color_bar(canvas, panel.color_bar, corner, height)


def _draw_color_bar(canvas: Canvas, bar: ColorBar, corner: Pixel, height: int) -> None:
    left, top = corner
    colors = Canvas(10, height)
    colors.fill(bar.colors[::-1, None])
    canvas.paste(colors, corner)
    canvas.frame(corner, 10, height)
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = top + (1 - share) * height
        value = bar.ends[0] + share * (bar.ends[1] - bar.ends[0])
        canvas.line([(left + 10, y), (left + 13, y)], "black")
        canvas.text((left + 15, y), f"{value:.2g}")
    canvas.upright_text((left + 52, top + height / 2), bar.label, size=11)


def _draw_losses(canvas: Canvas, history: Sequence[Progress], room: int) -> None:
    """Draw the losses over the steps, their names below them."""
    left, (across, row) = LEFT + NUMBERS, LEGEND
    width = canvas.width - left - LEFT
    canvas.text((left + width / 2, TOP - 14), "losses (dimensionless)", size=15, anchor="mm")
    if not history:
        return
    rows = -(-len(history[0].losses) // across)
    height = room - NUMBERS - rows * row
    below = TOP + height
    losses, axes = LossCurves.of(history, width, height), Canvas(width, height)
    for y, label in losses.rows:
        axes.line([(0, y), (width, y)], LIGHT_GRAY)
        canvas.text((left - 5, TOP + y), label, anchor="rm")
    for x, label in losses.columns:
        axes.line([(x, 0), (x, height)], LIGHT_GRAY)
        canvas.text((left + x, below + 10), label, anchor="mm")
    for x in losses.ends:
        axes.line([(x, 0), (x, height)], GRAY, dashes=(5, 4))
    for number, curve in enumerate(losses.curves):
        axes.line(curve.points, curve.color, 1.5, curve.dashes)
        x = LEFT + number % across * (width + LEFT) / across
        y = below + NUMBERS + (number // across + 0.5) * row
        canvas.line([(x, y), (x + 24, y)], curve.color, 1.5, curve.dashes)
        canvas.text((x + 28, y), curve.name, size=11)
    axes.frame((0, 0), width, height)
    canvas.paste(axes, (left, TOP))
    canvas.text((left + width / 2, below + 25), "step", size=11, anchor="mm")
