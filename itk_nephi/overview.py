"""One picture of a registration: what went in, what came out, and how it got there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import itk
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from itk_nephi.composite import flatten, jacobians, transform_points
from itk_nephi.domain import Array, ImageDomain, image_like
from itk_nephi.optimization import Progress

# Okabe and Ito's colors, told apart by all eyes
OUTLINE = "#56b4e9"
FOLD = "#f0e442"
CURVES = {
    "total": "#000000",
    "dissimilarity": "#0072b2",
    "gradicon": "#d55e00",
    "inverse_consistency": "#cc79a7",
    "latent_prior": "#009e73",
}
STYLES = ("-", "--", "-.", ":")
NOTHING = "#8c510a"
TILES = 8
LINES = 28


@dataclass(frozen=True)
class _Section:
    """A section through a domain along its axes, in square pixels: a grid one voxel thick."""

    domain: ImageDomain
    across: int | None
    origin: Array
    size: tuple[int, ...]
    pixel: float

    @classmethod
    def through(cls, image: Any, mask: Any) -> _Section:
        """Cut a 3D image coronally, through the middle of the mask if there is one."""
        domain = ImageDomain.of(image).canonical()
        across = 1 if domain.dimension == 3 else None
        index = (np.array(domain.size) - 1) / 2
        if across is not None and mask is not None:
            positions = np.argwhere(np.asarray(mask) != 0).mean(axis=0)[::-1]
            middle = ImageDomain.of(mask).points_from_index(positions)
            index = domain.index_from_points(middle)
        kept = [axis for axis in range(domain.dimension) if axis != across]
        pixel = min(domain.spacing[axis] for axis in kept)
        corner = np.zeros(domain.dimension)
        if across is not None:
            corner[across] = index[across]
        size = [
            1 if axis == across else round((n - 1) * spacing / pixel) + 1
            for axis, (n, spacing) in enumerate(zip(domain.size, domain.spacing, strict=True))
        ]
        return cls(domain, across, domain.points_from_index(corner), tuple(size), pixel)

    def points(self, along: Array, up: Array) -> Array:
        """Return physical points, shape (N, D), from places in the section, mm from its corner."""
        offset = np.zeros((len(along), self.domain.dimension))
        offset[:, 0], offset[:, -1] = along, up
        points: Array = self.origin + offset @ np.array(self.domain.direction).T
        return points

    def places(self, points: Array) -> Array:
        """Return where in the section points lie, mm from its corner, shape (N, 2)."""
        offset: Array = (points - self.origin) @ np.array(self.domain.direction)
        return offset[:, [0, -1]]

    def voxels(self) -> Array:
        """Return the physical points of the pixels, shape (rows * columns, D)."""
        rows, columns = np.indices((self.size[-1], self.size[0])) * self.pixel
        return self.points(columns.ravel(), rows.ravel())

    def sample(self, image: Any, transform: Any = None) -> Array:
        """Interpolate an image, moved by a transform, at the pixels; NaN outside the image."""
        sampled = itk.resample_image_filter(
            image_like(image, np.asarray(image, dtype=np.float32)),
            **({} if transform is None else {"transform": transform}),
            size=self.size,
            output_spacing=[self.pixel] * self.domain.dimension,
            output_origin=self.origin.tolist(),
            output_direction=itk.matrix_from_array(np.array(self.domain.direction)),
            default_pixel_value=float("nan"),
        )
        return self.arrange(np.asarray(sampled, dtype=float))

    def arrange(self, values: Array) -> Array:
        """Give values at the pixels the shape (rows, columns)."""
        return values.reshape(self.size[-1], self.size[0])

    def prepare(self, axes: Axes, title: str) -> None:
        """Frame the section: the head of a 3D image is at the top, the first row of a 2D image."""
        width, height = ((n - 0.5) * self.pixel for n in (self.size[0], self.size[-1]))
        edge = -self.pixel / 2
        axes.set(xlim=(edge, width), title=title, aspect="equal", facecolor=NOTHING)
        axes.set_ylim((height, edge) if self.across is None else (edge, height))
        axes.patch.set(hatch="////", edgecolor="w", alpha=0.35, linewidth=0)
        axes.tick_params(labelsize=7)

    def show(self, axes: Axes, values: npt.NDArray[Any], **style: Any) -> Any:
        """Draw values, shape (rows, columns), with axes in mm."""
        half = self.pixel / 2
        extent = (
            -half,
            values.shape[1] * self.pixel - half,
            -half,
            values.shape[0] * self.pixel - half,
        )
        return axes.imshow(values, extent=extent, origin="lower", interpolation="nearest", **style)


def overview(
    fixed: Any,
    moving: Any,
    fixed_to_moving: Any,
    initial_transform: Any,
    history: Sequence[Progress],
    *,
    fixed_mask: Any = None,
) -> Figure:
    """Draw a registration: images before and after, checkerboards, grid, volume change, losses.

    A 3D image is cut coronally along the axes of its grid, through the middle of the mask; the head
    is up and the patient's right on the left, as radiologists look at it. In 2D the first row is at
    the top.

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
        Not known to pyplot; ``savefig`` writes it.
    """
    section = _Section.through(fixed, fixed_mask)
    outline = None if fixed_mask is None else section.sample(fixed_mask)
    target = section.sample(fixed)
    before = section.sample(moving, initial_transform)
    after = section.sample(moving, fixed_to_moving)

    height = 2 * 4.0 * section.size[-1] / section.size[0] + 1.6
    figure = Figure(figsize=(18, float(np.clip(height, 7.0, 13.0))), dpi=110, layout="constrained")
    panels = figure.subplots(2, 4)
    brightness = {"fixed": _window(target), "moving": _window(after)}

    for axes, values, name, title in (
        (panels[0, 0], target, "fixed", "fixed image"),
        (panels[0, 1], before, "moving", "moving image, initial transform only"),
        (panels[0, 2], after, "moving", "moving image, registered"),
    ):
        section.prepare(axes, title)
        section.show(axes, brightness[name](values), cmap="gray", vmin=0, vmax=1)
        _draw_outline(axes, section, outline)
    for axes, values, title in (
        (panels[1, 0], before, "checkerboard of fixed and moving: before"),
        (panels[1, 1], after, "checkerboard of fixed and moving: after"),
    ):
        section.prepare(axes, title)
        board = _checkerboard(brightness["fixed"](target), brightness["moving"](values))
        section.show(axes, board, cmap="gray", vmin=0, vmax=1)
    _draw_grid(
        panels[1, 2], section, brightness["fixed"](target), fixed_to_moving, initial_transform
    )
    _draw_log_jacobian(panels[1, 3], section, fixed_to_moving, outline)
    draw_losses(panels[0, 3], history)
    for axes in panels.flat[4:]:
        axes.set_xlabel("mm", fontsize=8)
    for axes in panels[:, 0]:
        axes.set_ylabel("mm", fontsize=8)
    notes = [] if section.across is None else ["coronal section of the fixed image's grid"]
    notes += [] if outline is None else ["blue line: fixed mask"]
    figure.suptitle("  |  ".join([*notes, "hatched: outside the moving image"]), fontsize=9)
    return figure


def _window(values: Array) -> Normalize:
    """Map all but the most extreme intensities to [0, 1]."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    return Normalize(low, max(high, np.nextafter(low, np.inf)), clip=True)


def _checkerboard(first: Array, second: Array) -> Array:
    tile = max(1, max(first.shape) // TILES)
    rows, columns = np.indices(first.shape) // tile
    return np.where((rows + columns) % 2 == 0, first, second)


def _draw_outline(axes: Axes, section: _Section, outline: Array | None) -> None:
    if outline is not None and np.nanmin(outline) < 0.5 < np.nanmax(outline):
        rows, columns = (np.arange(n) * section.pixel for n in outline.shape)
        level = (np.nanmin(outline) + np.nanmax(outline)) / 2
        axes.contour(columns, rows, outline, levels=[level], colors=OUTLINE, linewidths=0.9)


def _draw_grid(
    axes: Axes, section: _Section, background: Array, fixed_to_moving: Any, initial_transform: Any
) -> None:
    section.prepare(axes, "grid deformed by the field")
    section.show(axes, 0.65 + 0.35 * background, cmap="gray", vmin=0, vmax=1)
    parts = flatten(fixed_to_moving)
    field = parts[: len(parts) - len(flatten(initial_transform))]
    width, height = ((n - 1) * section.pixel for n in (section.size[0], section.size[-1]))
    gap = max(width, height) / LINES
    across, up = (np.linspace(0, edge, max(2, round(edge / gap) + 1)) for edge in (width, height))
    along_row, along_column = (np.linspace(0, edge, 4 * LINES + 1) for edge in (width, height))
    lines = [(along_row, np.full_like(along_row, y)) for y in up]
    lines += [(np.full_like(along_column, x), along_column) for x in across]

    segments: list[tuple[Array, Array]] = []
    distances: list[float] = []
    for line in lines:
        points = moved = section.points(*line)
        for part in field:
            moved = transform_points(part, moved)
        segments.extend(pairwise(section.places(moved)))
        distance = np.linalg.norm(moved - points, axis=1)
        distances.extend((distance[1:] + distance[:-1]) / 2)
    collection = LineCollection(
        [np.stack(segment) for segment in segments],
        array=np.array(distances),
        cmap="viridis",
        linewidths=1.1,
    )
    collection.set_clim(0, max(distances) or 1.0)
    axes.add_collection(collection)
    _color_bar(axes, collection, "displacement, mm")


def _draw_log_jacobian(
    axes: Axes, section: _Section, fixed_to_moving: Any, outline: Array | None
) -> None:
    determinants = section.arrange(np.linalg.det(jacobians(fixed_to_moving, section.voxels())))
    folds = determinants <= 0
    section.prepare(axes, "logarithm of the Jacobian determinant")
    log = np.log(np.where(folds, 1.0, determinants))
    limit = max(float(np.percentile(np.abs(log), 99.5)), 0.05)
    shown = section.show(axes, log, cmap="RdBu_r", vmin=-limit, vmax=limit)
    _draw_outline(axes, section, outline)
    if folds.any():
        marks = np.where(folds[..., None], [0xF0 / 255, 0xE4 / 255, 0x42 / 255, 1.0], 0.0)
        section.show(axes, marks)
    note = f"folds (yellow): {folds.mean():.2%} of this section" if folds.any() else "no folds here"
    axes.text(0.02, 0.02, note, transform=axes.transAxes, fontsize=8, bbox={"fc": "w", "lw": 0})
    _color_bar(axes, shown, "< 0: compressed, > 0: expanded")


def _color_bar(axes: Axes, mappable: Any, label: str) -> None:
    figure = axes.get_figure()
    if figure is not None:
        bar = figure.colorbar(mappable, ax=axes, shrink=0.85, pad=0.02)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)


def draw_losses(axes: Axes, history: Sequence[Progress]) -> None:
    """Draw the terms of the objective, with a line where a level ends."""
    axes.set_title("losses (dimensionless)")
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=7)
    steps = np.arange(1, len(history) + 1)
    for name, style in zip(history[0].losses if history else (), cycle(STYLES), strict=False):
        values = [progress.losses[name] for progress in history]
        label, color = name.replace("_", " "), CURVES.get(name)
        axes.plot(steps, values, style, label=label, color=color, lw=1.1)
    for number, (one, other) in enumerate(pairwise(history), start=1):
        if one.level != other.level:
            axes.axvline(number + 0.5, color="0.6", lw=0.8, ls="--")
    if history:
        axes.set_yscale("log")
        axes.legend(fontsize=8, loc="best")
        axes.grid(alpha=0.3)
