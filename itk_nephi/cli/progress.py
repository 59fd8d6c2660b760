"""The progress of registrations and trainings, reported while they run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from itk_nephi.registration.result import Progress
    from itk_nephi.training.training import TrainingProgress
    from itk_nephi.workflows.batch import PairOutcome


@contextmanager
def shown_progress() -> Iterator[Callable[[Progress], None]]:
    """Show a bar with the time left on a terminal, else one line a level."""
    start = time.perf_counter()
    if not sys.stderr.isatty():

        def report(progress: Progress) -> None:
            if progress.left == 0:
                typer.echo(
                    f"level {progress.level} of {progress.levels}: step {progress.done} of "
                    f"{progress.total}, dissimilarity {progress.losses['dissimilarity']:.3f}, "
                    f"{time.perf_counter() - start:.0f} s",
                    err=True,
                )

        yield report
        return

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("bringing the images together", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task,
                total=progress.total,
                completed=progress.done,
                description=f"level {progress.level} of {progress.levels}, "
                f"dissimilarity {progress.losses['dissimilarity']:.3f}",
            )

        yield show


def pair_progress(total: int) -> Callable[[PairOutcome], None]:
    """Return what reports each pair of a batch that ended, in one line, and the time left."""
    start = time.perf_counter()
    earlier = computed = 0

    def report(outcome: PairOutcome) -> None:
        nonlocal earlier, computed
        earlier += outcome.earlier
        computed += not outcome.earlier
        ended = earlier + computed
        line = f"{ended} of {total}: {outcome.pair.name} "
        if outcome.earlier:
            line += "was done before"
        else:
            line += f"failed: {outcome.reason}" if outcome.reason else "done"
            left = (time.perf_counter() - start) / computed * (total - ended)
            line += f", {outcome.seconds:.0f} s; about {timedelta(seconds=round(left))} left"
        typer.echo(line, err=True)

    return report


@contextmanager
def shown_training() -> Iterator[Callable[[TrainingProgress], None]]:
    """Report each validation, and on a terminal show a bar with the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, highlight=False)
    text = TextColumn("dissimilarity {task.fields[dissimilarity]:.3f}")
    columns = (MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), text)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=None, dissimilarity=1.0)

        def show(progress: TrainingProgress) -> None:
            dissimilarity = progress.losses["dissimilarity"]
            bar.update(
                task, total=progress.total, completed=progress.done, dissimilarity=dissimilarity
            )
            if progress.validation is not None:
                scores = ", ".join(
                    f"{name.replace('_', ' ')} {value:.4g}"
                    for name, value in asdict(progress.validation).items()
                    if value is not None
                )
                bar.console.print(
                    f"step {progress.done} of {progress.total}: dissimilarity "
                    f"{dissimilarity:.4f}; validation: {scores}",
                    soft_wrap=True,
                )

        yield show
