"""A study: a question, what measures it, and the table that answers it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from benchmarks.cache import Figures, make_once
from itk_nephi.evaluation.statistics import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUICK_STEPS = 3
"""Of each level of a registration, and of each of another method's, in a quick run."""

FIGURES = "figures.json"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a study.

    Parameters
    ----------
    folder : Path
        Where trials are kept, and files that they need.
    quick : bool
        Small phantoms and few steps: shows that everything runs, nothing else.
    commit : str
        What ``same-parameters`` holds the checkout against.
    """

    folder: Path
    quick: bool = False
    commit: str = "HEAD"

    def trial(self, name: str, function: Callable[..., Figures], /, **arguments: Any) -> Figures:
        """Make a trial once, see :func:`benchmarks.cache.make_once`."""
        return make_once(self.folder / "trials", name, function, **arguments)

    def first(self, entries: Sequence[T], count: int) -> list[T]:
        """Return all entries, or a few in a quick run."""
        return list(entries[: count if self.quick else None])

    def shortened(self, settings: T) -> T:
        """Return settings with few steps in a quick run, else as they are."""
        return replace(settings, steps=QUICK_STEPS) if self.quick else settings  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and how it is answered.

    Parameters
    ----------
    name : str
        On the command line, and in the marks around its table.
    question : str
        One sentence.
    time : str
        About how long it takes, on how many cores.
    measure : callable
        Makes the trials of a run, and returns figures that JSON can hold.
    table : callable
        Returns the figures as Markdown.
    figure : callable, optional
        Draws them.
    short : callable, optional
        Returns a shorter table, for the project's README.
    holds : callable, optional
        Says whether they show what they should: exactness, not merit.
    page : str, optional
        File in docs/benchmarks, ``name``.md when left out; empty where only printed.
    """

    name: str
    question: str
    time: str
    measure: Callable[[Run], Figures]
    table: Callable[[Figures], str]
    figure: Callable[[Figures], Figure] | None = None
    short: Callable[[Figures], str] | None = None
    holds: Callable[[Figures], bool] | None = None
    page: str | None = None

    def run(self, run: Run) -> Figures:
        """Measure, and keep the figures in a folder of the study's name."""
        figures = self.measure(run)
        place = run.folder / self.name / FIGURES
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(figures, indent=2) + "\n")
        return self.read(run.folder)

    def read(self, folder: Path) -> Figures:
        """Return the figures that a run kept."""
        return dict(json.loads((folder / self.name / FIGURES).read_text()))


def tabulate(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]
    )


def select(trials: Sequence[Figures], **wanted: Any) -> list[Figures]:
    """Return the trials that have these entries and did not fail."""
    return [trial for trial in _having(trials, wanted) if "error" not in trial]


def count_failures(trials: Sequence[Figures], **wanted: Any) -> str:
    """Return how many of the trials that have these entries failed."""
    return str(sum("error" in trial for trial in _having(trials, wanted)))


def _having(trials: Sequence[Figures], wanted: Figures) -> list[Figures]:
    return [t for t in trials if all(t[name] == value for name, value in wanted.items())]


def pair_up(trials: Sequence[Figures], method: str, other: str) -> list[tuple[Figures, Figures]]:
    """Return the trials of two methods on the same pair with the same seed, where none failed."""
    others = {(t["pair"], t["seed"]): t for t in select(trials, method=other)}
    mine = select(trials, method=method)
    return [(t, others[t["pair"], t["seed"]]) for t in mine if (t["pair"], t["seed"]) in others]


def spread(values: Sequence[Any], digits: int = 3) -> str:
    """Return the mean of values, and their standard deviation where there are several."""
    if not len(values):
        return "-"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def mean_interval(differences: Sequence[float], digits: int = 3) -> str:
    """Return the mean of paired differences and, of six or more, its 95 % bootstrap interval."""
    if not len(differences):
        return "-"
    mean, interval = f"{np.mean(differences):+.{digits}f}", bootstrap_interval(differences)
    if interval is None:
        return mean
    return f"{mean} ({interval[0]:+.{digits}f} to {interval[1]:+.{digits}f})"


def largest(values: Sequence[float]) -> str:
    """Return the largest of some fractions, as text."""
    return f"{max(values):.2g}" if len(values) else "-"
