"""The claims of the NePhi paper, each with its command and what came out."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cache import Figures
from benchmarks.studies import latent, prealignment, prediction, regularizer, voxels
from benchmarks.study import Run, Study, tabulate
from benchmarks.unseen import summarize
from itk_nephi.visualization.palette import BLUE, VERMILION

CLAIMS: tuple[tuple[str, Study, Callable[[Figures], str]], ...] = (
    ("predicts unseen pairs at once", prediction.STUDY, prediction.answer),
    ("approximately diffeomorphic", prediction.DIFFEOMORPHIC, prediction.folds_answer),
    (
        "a few points suffice for the regularizer",
        regularizer.POINTS,
        regularizer.points_answer,
    ),
    ("GradICON against a diffusion penalty", regularizer.WEIGHTS, regularizer.weights_answer),
    ("global and local code have meanings of their own", latent.STUDY, latent.answer),
    ("as good as a displacement of each voxel", voxels.STUDY, voxels.answer),
    ("refines a pre-aligned pair", prealignment.STUDY, prealignment.answer),
)

FURTHER = (
    (
        "memory of a registration does not grow with the images",
        "`python -m benchmarks run memory-cpu`",
        "[its table](memory.md); that of training a model, which sees whole images, does",
    ),
    (
        "the published networks",
        "`pytest test/models test/fields -k published`",
        "parameter counts equal; written independently, outputs agree to 1e-5",
    ),
)


def measure(run: Run) -> Figures:
    """Run the studies of all claims."""
    return {study.name: study.run(run) for _, study, _ in CLAIMS}


def table(figures: Figures) -> str:
    """Return a row for each claim."""
    rows = [
        [claim, f"`python -m benchmarks run {study.name}`", answer(figures[study.name])]
        for claim, study, answer in CLAIMS
    ]
    rows += map(list, FURTHER)
    minutes: dict[str, float] = {}
    for study in (prediction.STUDY, latent.STUDY):
        minutes |= figures[study.name].get("training_minutes", {})
    told = "; ".join(f"{name} in {taken:.0f} minutes" for name, taken in minutes.items())
    rows.append(["models train on a CPU", "`itk-nephi train configs/NAME.toml`", told])
    return tabulate(["claim", "command", "what we saw"], rows)


def draw(figures: Figures) -> Figure:
    """Draw Dice against time, regularizer points and weights."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    ((seconds, points), (folding, smoothness)) = figure.subplots(2, 2)
    _draw_prediction(seconds, figures[prediction.STUDY.name]["data"])
    _draw_points(points, figures[regularizer.POINTS.name])
    weights = figures[regularizer.WEIGHTS.name]
    _draw_weights(folding, weights, 3)
    _draw_weights(smoothness, weights, 6, tell_weights=True)
    folding.set_xscale("symlog", linthresh=0.01)
    folding.set_xlim(left=-0.002)
    folding.set(xlabel="folding fraction, %", title="two regularizers, each weight swept: folding")
    smoothness.set(
        xlabel="standard deviation of log Jacobian",
        title="the same: smoothness (numbers: some weights)",
    )
    return figure


def _draw_prediction(axes: Axes, data: Figures) -> None:
    kinds = {
        "predicted, and refined (splines)": ("predicted", "splines"),
        "predicted, and refined (code)": ("predicted", "steps, code"),
        "predicted, and refined (code and weights)": ("predicted", "code and weights"),
        "from scratch": ("from scratch",),
    }
    colors = dict(zip(data, (BLUE, VERMILION), strict=False))
    summaries = {
        name: {method: summarize(trial["pairs"]) for method, trial in methods.items()}
        for name, methods in data.items()
    }
    for (kind, words), style in zip(kinds.items(), ("D-", "o-", "s--", "^:"), strict=True):
        axes.plot([], [], style, color="gray", label=kind)
        for name, methods in summaries.items():
            chosen = [row for m, row in methods.items() if m.startswith(words) or m.endswith(words)]
            points = sorted((float(row[3]), float(row[0])) for row in chosen)
            axes.plot(*zip(*points, strict=True), style, color=colors[name])
    for name, methods in summaries.items():
        color, predicted = colors[name], float(methods["predicted"][0])
        axes.axhline(float(methods["before"][0]), color=color, linewidth=0.7)
        below = (0.02, predicted - 0.01)
        axes.text(*below, name, color=color, va="top", transform=axes.get_yaxis_transform())
    axes.axhline(0, color="gray", linewidth=0.7, label="before")
    axes.set(xscale="log", xlabel="seconds a pair", ylabel="Dice", title="unseen pairs")
    axes.set_ylim(0.25, 1)
    axes.legend(fontsize=9, loc="lower right")


def _draw_points(axes: Axes, figures: Figures) -> None:
    rows = regularizer.points_rows(figures)
    places = range(len(rows))
    dice = [float(row[2]) for row in rows]
    ranges = [[float(end) for end in row[3].split(" to ")] for row in rows]
    below = [mean - low for mean, (low, _) in zip(dice, ranges, strict=True)]
    above = [high - mean for mean, (_, high) in zip(dice, ranges, strict=True)]
    axes.errorbar(places, dice, (below, above), fmt="o-", color=BLUE, capsize=3)
    axes.set_xticks(places, [f"{share}\n{count}" for share, count, *_ in rows])
    axes.set(
        xlabel="points of the regularizer: share of the pixels, number",
        ylabel="Dice, and range of the seeds",
        title="triangles and circles, 512 x 512 pixels",
    )


def _draw_weights(axes: Axes, figures: Figures, column: int, *, tell_weights: bool = False) -> None:
    for name, style, color in (
        (regularizer.DIFFUSION, "^--", VERMILION),
        (regularizer.GRADICON, "o-", BLUE),
    ):
        rows = [row for row in regularizer.weights_rows(figures) if row[0] == name]
        xs, dice = ([float(row[number]) for row in rows] for number in (column, 2))
        axes.plot(xs, dice, style, color=color, label=name)
        labeled = (-1.0, -1.0)  # only where they would not overlap
        for row, x, y in zip(rows, xs, dice, strict=True):
            if tell_weights and max(abs(x - labeled[0]), abs(y - labeled[1])) > 0.03:
                aside = (4, 5 if color == BLUE else -12)
                axes.annotate(row[1], (x, y), aside, textcoords="offset points", color=color)
                labeled = (x, y)
    axes.set(ylabel="Dice")
    axes.margins(0.08)
    axes.legend(fontsize=9, loc="lower right")


STUDY = Study(
    name="claims",
    question="Which claims of the paper hold?",
    time="two hours, two cores: all studies of claims",
    measure=measure,
    table=table,
    figure=draw,
)
