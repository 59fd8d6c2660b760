"""Plots of the report, as addresses of SVG files: told apart by marker and line, not by color."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itk_nephi.domain import Array
from itk_nephi.overview import draw_losses
from itk_nephi.slices import data_uri

if TYPE_CHECKING:
    from itk_nephi.optimization import Progress

# Okabe and Ito's colors, told apart by all eyes
COLORS = ("#999999", "#e69f00", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
MARKERS = "^soDvPX*"


def losses(history: Sequence[Progress]) -> str:
    """Draw the terms of the objective at each step."""
    figure, axes = _figure(9, 4.2)
    draw_losses(axes, history)
    axes.set(title="", ylabel="loss, dimensionless")
    axes.set_xlabel("step", fontsize=10)
    axes.tick_params(labelsize=10)
    axes.legend(fontsize=10, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _address(figure)


def landmark_errors(errors: Mapping[str, Array], order_by: str) -> str:
    """Draw the error of each landmark, mm.

    Parameters
    ----------
    errors : mapping of str to array, shape (N,)
        The errors after each stage.
    order_by : str
        The stage whose smallest error comes first.
    """
    figure, axes = _figure(9, 4.2)
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
        ("median", "D", COLORS[4]),
        ("mean", "o", COLORS[2]),
        ("p95", "^", COLORS[3]),
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


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _address(figure: Figure) -> str:
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "itk-nephi"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return data_uri(content.getvalue(), "image/svg+xml")
