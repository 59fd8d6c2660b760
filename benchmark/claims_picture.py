"""The tables of the claims as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import read_table

BLUE, ORANGE = "#0072b2", "#d55e00"


def draw_claims(folder: Path, path: Path) -> None:
    """Draw Dice against time, regularizer points and weights, from a folder's tables."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    ((prediction, points), (folding, smoothness)) = figure.subplots(2, 2)
    _draw_prediction(prediction, read_table(folder / "predicts.md"))
    _draw_points(points, read_table(folder / "regularizer-points.md"))
    regularizers = read_table(folder / "diffusion.md")
    _draw_regularizers(folding, regularizers, "folding %")
    _draw_regularizers(smoothness, regularizers, "SD log J", tell_weights=True)
    folding.set_xscale("symlog", linthresh=0.01)
    folding.set_xlim(left=-0.002)
    folding.set(xlabel="share of folds, %", title="two regularizers, each weight swept: folds")
    smoothness.set(
        xlabel="standard deviation of log Jacobian",
        title="the same: smoothness (numbers: some weights)",
    )
    figure.savefig(path, dpi=110)


def _draw_prediction(axes: Axes, rows: list[dict[str, str]]) -> None:
    names = dict.fromkeys(row["data"] for row in rows)
    kinds = {
        "predicted, and refined (code)": ("predicted", "steps, code"),
        "predicted, and refined (code and weights)": ("predicted", "code and weights"),
        "from scratch": ("from scratch",),
    }
    for (kind, words), style in zip(kinds.items(), ("o-", "s--", "^:"), strict=True):
        axes.plot([], [], style, color="gray", label=kind)
        for name, color in zip(names, (BLUE, ORANGE), strict=False):
            chosen = [
                row
                for row in rows
                if row["data"] == name
                and (row["method"].endswith(words) or row["method"].startswith(words))
            ]
            seconds, dice = ([float(row[key]) for row in chosen] for key in ("seconds", "Dice"))
            axes.plot(seconds, dice, style, color=color)
    for name, color in zip(names, (BLUE, ORANGE), strict=False):
        dice = {row["method"]: float(row["Dice"]) for row in rows if row["data"] == name}
        axes.axhline(dice["before"], color=color, linewidth=0.7)
        below = (0.02, dice["predicted"] - 0.01)
        axes.text(*below, name, color=color, va="top", transform=axes.get_yaxis_transform())
    axes.axhline(0, color="gray", linewidth=0.7, label="before")
    axes.set(xscale="log", xlabel="seconds a pair", ylabel="Dice", title="unseen pairs")
    axes.set_ylim(0.25, 1)
    axes.legend(fontsize=9, loc="lower right")


def _draw_points(axes: Axes, rows: list[dict[str, str]]) -> None:
    places = range(len(rows))
    dice = [float(row["Dice"]) for row in rows]
    ranges = [[float(end) for end in row["by seed"].split(" to ")] for row in rows]
    below = [mean - low for mean, (low, _) in zip(dice, ranges, strict=True)]
    above = [high - mean for mean, (_, high) in zip(dice, ranges, strict=True)]
    axes.errorbar(places, dice, (below, above), fmt="o-", color=BLUE, capsize=3)
    axes.set_xticks(places, [f"{row['share']}\n{row['points']}" for row in rows])
    axes.set(
        xlabel="points of the regularizer: share of the pixels, number",
        ylabel="Dice, and range of the seeds",
        title="triangles and circles, 512 x 512 pixels",
    )


def _draw_regularizers(
    axes: Axes, rows: list[dict[str, str]], column: str, *, tell_weights: bool = False
) -> None:
    names = dict.fromkeys(row["regularizer"] for row in rows)
    for name, style, color in zip(names, ("^--", "o-"), (ORANGE, BLUE), strict=True):
        chosen = [row for row in rows if row["regularizer"] == name]
        xs, dice = ([float(row[key]) for row in chosen] for key in (column, "Dice"))
        axes.plot(xs, dice, style, color=color, label=name)
        if tell_weights:
            labeled = (-1.0, -1.0)  # only where they would not overlap
            for row, x, y in zip(chosen, xs, dice, strict=True):
                if max(abs(x - labeled[0]), abs(y - labeled[1])) > 0.03:
                    place = (4, 5 if color == BLUE else -12)
                    axes.annotate(
                        row["weight"], (x, y), place, textcoords="offset points", color=color
                    )
                    labeled = (x, y)
    axes.set(ylabel="Dice")
    axes.margins(0.08)
    axes.legend(fontsize=9, loc="lower right")
