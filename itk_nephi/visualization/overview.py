"""One picture of a registration: what went in, what came out, and how it got there."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.resampling import sample_image
from itk_nephi.spatial.transforms import jacobians, transform_points
from itk_nephi.visualization import slices
from itk_nephi.visualization.palette import DIMMED, OUTLINE, VOLUME
from itk_nephi.visualization.planes import Plane
from itk_nephi.visualization.plots import Progress, draw_losses

TILES = 8
"""How many tiles a checkerboard has along the longest side."""

EDGES = {
    "left": (0.03, 0.5, "left", "center"),
    "right": (0.97, 0.5, "right", "center"),
    "top": (0.5, 0.97, "center", "top"),
    "bottom": (0.5, 0.03, "center", "bottom"),
}
"""Where in a picture, from 0 to 1, the letter of an edge is, and how it is aligned."""


COLUMNS, ROWS, PANEL = (0.01, 0.235, 0.46, 0.735), (0.53, 0.04), (0.215, 0.4)
"""Where panels begin, and their size, as shares of the figure: quicker than a layout that fits."""


class Overview(Figure):
    """A figure that notebooks show where it is the last value of a cell."""

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def draw_overview(
    fixed: Any,
    moving: Any,
    fixed_to_moving: Any,
    initial_transform: Any,
    history: Sequence[Progress],
    *,
    fixed_mask: Any = None,
) -> Overview:
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
    matplotlib.figure.Figure
        Notebooks show it; ``savefig`` writes it. It is not known to pyplot.
    """
    plane = Plane.coronal(ImageDomain.of(fixed).canonical())
    mask = None if fixed_mask is None else slices.ordered(fixed_mask)
    index = plane.indices[plane.start(mask)]
    outline = [] if mask is None else slices.outline(plane, plane.cut(mask, index))
    target = plane.cut(slices.ordered(fixed), index)
    points = plane.even_points(index, target.shape)
    before, after = (
        sample_image(moving, transform_points(transform, points)).reshape(target.shape)
        for transform in (initial_transform, fixed_to_moving)
    )
    window = slices.window(after)
    fixed_picture = slices.picture(plane, target, slices.window(target))
    moving_pictures = [_picture(plane, values, window) for values in (before, after)]

    width, height = plane.size
    figure_height = float(np.clip(8 * height / width + 1.6, 7, 13))
    figure = Overview(figsize=(18, figure_height), dpi=90)
    panels = [[figure.add_axes((x, y, *PANEL)) for x in COLUMNS] for y in ROWS]
    for axes, picture, title in zip(
        panels[0],
        (fixed_picture, *moving_pictures),
        ("fixed image", "moving image, initial transform only", "moving image, registered"),
        strict=False,
    ):
        _show(axes, plane, picture, title)
        _draw_outline(axes, outline)
    for axes, picture, when in zip(panels[1], moving_pictures, ("before", "after"), strict=False):
        board = _checkerboard(fixed_picture, picture)
        _show(axes, plane, board, f"checkerboard of fixed and moving: {when}")
    grid = slices.Grid(plane, fixed_to_moving, initial_transform, [index])
    _show(panels[1][2], plane, DIMMED * fixed_picture, "grid deformed by the field")
    _draw_grid(panels[1][2], grid)
    determinants = np.linalg.det(jacobians(fixed_to_moving, points)).reshape(target.shape)
    _draw_log_jacobian(panels[1][3], plane, determinants)
    _draw_outline(panels[1][3], outline)
    draw_losses(panels[0][3], history)

    notes = [f"{plane.name}, {plane.position(index)}"] if plane.position(index) else []
    notes += ["blue line: fixed mask"] if outline else []
    figure.suptitle("  |  ".join([*notes, "striped: outside the moving image"]), fontsize=9)
    return figure


def _picture(plane: Plane, values: Array, window: slices.Window) -> slices.Bytes:
    """Return a slice in gray, striped where a value is NaN."""
    outside = np.isnan(values)
    return slices.shaded(slices.picture(plane, np.where(outside, 0, values), window), outside)


def _checkerboard(first: slices.Bytes, second: slices.Bytes) -> slices.Bytes:
    tile = max(1, max(first.shape) // TILES)
    rows, columns = np.indices(first.shape) // tile
    return np.where((rows + columns) % 2 == 0, first, second)


def _show(axes: Axes, plane: Plane, picture: npt.NDArray[Any], title: str) -> None:
    """Draw a picture so that data coordinates are pixels; add a scale bar and letters."""
    width, height = plane.size
    extent = (0, width, height, 0)
    axes.imshow(picture, "gray", extent=extent, interpolation="nearest", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, y=1)
    light: dict[str, Any] = {
        "color": "w",
        "path_effects": [withStroke(linewidth=3, foreground="k")],
    }
    for edge, (x, y, horizontal, vertical) in EDGES.items():
        axes.text(
            x,
            y,
            plane.letters[edge],
            horizontalalignment=horizontal,
            verticalalignment=vertical,
            transform=axes.transAxes,
            **light,
        )
    start = 0.03 * width
    end = start + plane.scale_bar / plane.extent[0] * width
    axes.plot([start, end], [0.96 * height] * 2, linewidth=1.5, solid_capstyle="butt", **light)
    axes.text(start, 0.95 * height, f"{plane.scale_bar:g} mm", fontsize=8, va="bottom", **light)


def _draw_outline(axes: Axes, outline: Sequence[Array]) -> None:
    axes.add_collection(LineCollection(outline, colors=OUTLINE, linewidths=0.9), autolim=False)


def _draw_grid(axes: Axes, grid: slices.Grid) -> None:
    pixels, distances = grid.lines(0)
    lines = LineCollection(
        list(np.stack([pixels[:, :-1], pixels[:, 1:]], axis=2).reshape(-1, 2, 2)),
        array=distances.ravel(),
        cmap=ListedColormap(slices.shades()),
        linewidths=1.3,
    )
    lines.set_clim(0, grid.largest or 1.0)
    axes.add_collection(lines, autolim=False)
    _color_bar(axes, lines, "displacement, mm")


def _draw_log_jacobian(axes: Axes, plane: Plane, determinants: Array) -> None:
    limit = slices.volume_limit(determinants)
    picture = slices.volume_picture(plane, determinants, limit)
    _show(axes, plane, picture, "logarithm of the Jacobian determinant")
    folded = np.mean(~(determinants > 0))
    note = f"folding (striped): {folded:.2%}" if folded else "no folding in this slice"
    box = {"facecolor": "w", "linewidth": 0}
    axes.text(0.97, 0.03, note, ha="right", fontsize=8, bbox=box, transform=axes.transAxes)
    colors = ScalarMappable(Normalize(-limit, limit), VOLUME)
    _color_bar(axes, colors, "< 0: compressed, > 0: expanded")


def _color_bar(axes: Axes, mappable: Any, label: str) -> None:
    figure = axes.get_figure()
    if figure is not None:
        bar = figure.colorbar(mappable, cax=axes.inset_axes((1.02, 0.05, 0.03, 0.9)))
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
