"""Plots of losses and errors, some as addresses of SVG files; markers and lines differ too."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, cycle, pairwise
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itk_nephi.spatial.domain import Array
from itk_nephi.visualization.pages import render
from itk_nephi.visualization.palette import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILION,
)
from itk_nephi.visualization.slices import data_uri

COLORS = (GRAY, ORANGE, BLUE, VERMILION, GREEN, PURPLE, SKY_BLUE, BLACK)

CURVES = {
    "total": BLACK,
    "dissimilarity": BLUE,
    "gradicon": VERMILION,
    "inverse_consistency": PURPLE,
    "latent_prior": GREEN,
    "spline_diffusion": SKY_BLUE,
    "outside_diffusion": GRAY,
}

MARKERS = "^soDvPX*"

STYLES = ("-", "--", "-.", ":")

DASHES = ("none", "7 3", "7 3 2 3", "2 3")
"""The same in SVG."""

WIDTH, HEIGHT = 640, 300
"""Of the axes of losses, pixels."""


class Progress(Protocol):
    """What is plotted of :class:`itk_nephi.Progress`, which needs torch."""

    @property
    def level(self) -> int:
        """The resolution level, from 1."""

    @property
    def losses(self) -> Mapping[str, float]:
        """The terms of the objective, and their sum; dimensionless."""


def losses(history: Sequence[Progress]) -> str:
    """Draw the terms of the objective at each step of a history that is not empty.

    From a template, in a fiftieth of the time that Matplotlib takes.
    """
    terms = {
        name: np.array([progress.losses[name] for progress in history])
        for name in history[0].losses
    }
    values = np.concatenate(list(terms.values()))
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if values.size else (1.0, 1.0)
    low, high = np.log10(low) - 0.05, np.log10(high) + 0.05
    steps = len(history)

    def across(step: Any) -> Array:
        return np.array(np.round((np.asarray(step) - 1) / max(steps - 1, 1) * WIDTH, 1))

    def down(value: Any) -> Array:
        above = np.log10(np.maximum(value, 10**low)) - low
        return np.array(np.round((1 - above / (high - low)) * HEIGHT, 1))

    curves = []
    for (name, term), dashes in zip(terms.items(), cycle(DASHES), strict=False):
        finite = np.isfinite(term)
        points = np.stack([across(np.flatnonzero(finite) + 1), down(term[finite])], axis=1)
        curve = {"name": name.replace("_", " "), "color": CURVES.get(name, GRAY), "dashes": dashes}
        curves.append(curve | {"points": " ".join(f"{x:g},{y:g}" for x, y in points.tolist())})
    digits = (1, 2, 5) if high - low < 2 else (1,)
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    gap = next(gap for gap in _round_numbers() if steps <= 8 * gap)
    picture = render(
        "losses.svg",
        width=WIDTH,
        height=HEIGHT,
        rows=[(down(tick), f"{tick:g}") for tick in ticks if low <= np.log10(tick) <= high],
        columns=[(across(step), str(step)) for step in sorted({1, *range(gap, steps + 1, gap)})],
        ends=[
            across(number + 0.5)
            for number, (one, other) in enumerate(pairwise(history), start=1)
            if one.level != other.level
        ],
        curves=curves,
    )
    return data_uri(picture.encode(), "image/svg+xml")


def _round_numbers() -> Iterator[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    return (digit * 10**power for power in count() for digit in (1, 2, 5))


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
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")  # powers of ten take long to typeset
        low, high = axes.get_ylim()
        axes.set_ylim(top=high * (high / low) ** 0.15)  # room for the names, two or three rows
        axes.legend(
            fontsize=7, loc="upper center", ncols=3, handlelength=2, columnspacing=1, frameon=False
        )
        axes.grid(alpha=0.3)


def landmark_errors(errors: Mapping[str, Array], order_by: str) -> str:
    """Draw the error of each landmark, mm.

    Parameters
    ----------
    errors : mapping of str to array, shape (N,)
        The errors after each stage.
    order_by : str
        The stage whose smallest error comes first.
    """
    figure, axes = _figure(9, 4.2, top=0.88)
    order = np.argsort(errors[order_by], kind="stable")
    ranks, size = np.arange(1, len(order) + 1), 6 if len(order) < 200 else 3
    for (name, values), color, marker in zip(
        errors.items(), cycle(COLORS), cycle(MARKERS), strict=False
    ):
        label = f"{name}, mean {values.mean():.2f} mm"
        axes.plot(ranks, values[order], marker, ms=size, color=color, label=label)
    axes.set(xlabel=f"landmark, smallest error of {order_by} first", ylabel="error, mm")
    axes.set_yscale("symlog", linthresh=1, linscale=0.6)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=3, frameon=False)
    axes.grid(alpha=0.3)
    return _address(figure)


def methods(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw landmark errors and times of the methods that did not fail."""
    return _address(draw_methods(rows))


def draw_methods(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what :func:`methods` does as a figure."""
    done = [row for row in rows if not row.get("error")]
    figure = Figure(figsize=(9, 1.3 + 0.5 * max(1, len(done))), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(done))
    for statistic, marker, color in (
        ("median", "D", GREEN),
        ("mean", "o", BLUE),
        ("p95", "^", VERMILION),
    ):
        values = [(row.get("landmark_error_mm") or {}).get(statistic, np.nan) for row in done]
        label = {"p95": "95th percentile"}.get(statistic, statistic)
        left.plot(values, heights, marker, color=color, label=label, ms=7)
    left.set(xlabel="landmark error, mm", xlim=(0, None), yticks=heights)
    left.set_yticklabels([str(row["name"]) for row in done])
    left.invert_yaxis()
    left.margins(y=0.2)
    left.legend(fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    seconds = [row.get("seconds") or np.nan for row in done]
    right.barh(heights, seconds, color="0.75", edgecolor="k", height=0.5)
    right.set(xlabel="time, s")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
    return figure


def _figure(
    width: float, height: float, *, right: float = 0.98, top: float = 0.97
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left=0.08, right=right, bottom=0.13, top=top)
    return figure, figure.subplots()


def _address(figure: Figure) -> str:
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "itk-nephi"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return data_uri(content.getvalue(), "image/svg+xml")
