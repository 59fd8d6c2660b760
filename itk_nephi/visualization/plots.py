"""Plots of losses and errors, some as addresses of SVG files; markers and lines differ too."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle, pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

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

if TYPE_CHECKING:  # takes longest to load of all that a registration needs, but torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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

DASHES: tuple[tuple[int, ...], ...] = ((), (7, 3), (7, 3, 2, 3), (2, 3))

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A term of the objective.

    Parameters
    ----------
    name, color : str
        In words, and as #rrggbb.
    dashes : tuple of int
        Lengths of its dashes and of the gaps behind them, pixels; none of a whole line.
    points : array, shape (N, 2)
        Pixels.
    """

    name: str
    color: str
    dashes: tuple[int, ...]
    points: Array


@dataclass(frozen=True, kw_only=True)
class LossCurves:
    """The terms of the objective over the steps, on logarithmic axes; down from the upper left.

    Parameters
    ----------
    rows, columns : list of (float, str)
        Where lines run across and down, pixels, and what stands beside them.
    ends : list of float
        Where levels end, pixels.
    curves : list of Curve
        One a term.
    """

    rows: list[tuple[float, str]]
    columns: list[tuple[float, str]]
    ends: list[float]
    curves: list[Curve]

    @classmethod
    def of(cls, history: Sequence[Progress], width: int, height: int) -> LossCurves:
        """Return the curves of a history that is not empty, in axes of a size in pixels."""
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
            return np.array(np.round((np.asarray(step) - 1) / max(steps - 1, 1) * width, 1))

        def down(value: Any) -> Array:
            above = np.log10(np.maximum(value, 10**low)) - low
            return np.array(np.round((1 - above / (high - low)) * height, 1))

        curves = []
        for (name, term), dashes in zip(terms.items(), cycle(DASHES), strict=False):
            finite = np.isfinite(term)
            points = np.stack([across(np.flatnonzero(finite) + 1), down(term[finite])], axis=1)
            color = CURVES.get(name, GRAY)
            curves.append(
                Curve(name=name.replace("_", " "), color=color, dashes=dashes, points=points)
            )
        digits = (1, 2, 5) if high - low < 2 else (1,)
        powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        gap = next(gap for gap in _round_numbers() if steps <= 8 * gap)
        shown = sorted({1, *range(gap, steps + 1, gap)})
        return cls(
            rows=[(float(down(t)), f"{t:g}") for t in ticks if low <= np.log10(t) <= high],
            columns=[(float(across(step)), str(step)) for step in shown],
            ends=[
                float(across(number + 0.5))
                for number, (one, other) in enumerate(pairwise(history), start=1)
                if one.level != other.level
            ],
            curves=curves,
        )


def losses(history: Sequence[Progress]) -> str:
    """Draw the terms of the objective at each step of a history that is not empty.

    From a template, in a fiftieth of the time that Matplotlib takes.
    """
    found = LossCurves.of(history, WIDTH, HEIGHT)
    picture = render("losses.svg", width=WIDTH, height=HEIGHT, losses=found)
    return data_uri(picture.encode(), "image/svg+xml")


def _round_numbers() -> Iterator[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    return (digit * 10**power for power in count() for digit in (1, 2, 5))


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
        label = f"{name}, mean {values.mean():.3g} mm"
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
    from matplotlib.figure import Figure

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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left=0.08, right=right, bottom=0.13, top=top)
    return figure, figure.subplots()


def _address(figure: Figure) -> str:
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "itk-nephi"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return data_uri(content.getvalue(), "image/svg+xml")
