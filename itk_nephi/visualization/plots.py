"""Plots of losses and errors, some as addresses of SVG files; markers and lines differ too."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itk_nephi.spatial.domain import Array
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
}

MARKERS = "^soDvPX*"

STYLES = ("-", "--", "-.", ":")


class Progress(Protocol):
    """What is plotted of :class:`itk_nephi.Progress`, which needs torch."""

    @property
    def level(self) -> int:
        """The resolution level, from 1."""

    @property
    def losses(self) -> Mapping[str, float]:
        """The terms of the objective, and their sum; dimensionless."""


def losses(history: Sequence[Progress]) -> str:
    """Draw the terms of the objective at each step."""
    figure, axes = _figure(9, 4.2, right=0.77)
    draw_losses(axes, history)
    axes.set(title="", ylabel="loss, dimensionless")
    axes.set_xlabel("step", fontsize=10)
    axes.tick_params(labelsize=10)
    axes.legend(fontsize=10, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _address(figure)


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
        axes.legend(fontsize=8, loc="best")
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
