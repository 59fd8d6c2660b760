"""The progress of registrations and trainings, reported while they run."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from itk_nephi.cli.messages import is_quiet, report

if TYPE_CHECKING:
    from itk_nephi.registration.result import Progress
    from itk_nephi.training.training import TrainingProgress
    from itk_nephi.workflows.batch import PairOutcome


logger = logging.getLogger(__name__)

SILENCE = 5.0
"""For how long a process is silent at least before it shows that it works, seconds."""

LONGEST_SILENCE = 30.0
"""For how long it is silent at most, after an hour for example, seconds."""

PATIENCE = 2.0
"""For how long the end waits for a line that is being printed, seconds."""


class Pulse:
    """A line on stderr on what goes on, whenever there was none for a while.

    Parameters
    ----------
    doing : str
        What goes on first, in words.
    """

    def __init__(self, doing: str = "") -> None:
        self._doing = doing
        self._begin = self._last = time.perf_counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # an interrupt may have left a lock, such as that of logging, with the main thread
        self._thread.join(PATIENCE)

    def change(self, doing: str) -> None:
        """Show from now on that something else goes on; nothing where it is empty."""
        self._doing = doing

    def begin(self, stage: str) -> None:
        """Log a stage, and show from now on that it goes on."""
        logger.info("%s", stage)
        self.change(stage)

    def show(self, line: str) -> None:
        """Print a line now, in place of the next one."""
        self._last = time.perf_counter()
        report(line)

    def _beat(self) -> None:
        while not self._ended.wait(SILENCE / 10):
            now = time.perf_counter()
            silence = min(max(SILENCE, (now - self._begin) / 20), LONGEST_SILENCE)
            if self._doing and now - self._last >= silence:
                self.show(f"{self._doing}, {now - self._begin:.0f} s")


class _Remaining:
    """How long the rest will take, from the part seen so far."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def phrase(self, share: float) -> str:
        """Return a phrase to append after a share of all is done; nothing after the first one."""
        now = time.perf_counter()
        if self._first is None:
            self._first = share, now
        first, start = self._first
        if share <= first:
            return ""
        return f", {_left((now - start) / (share - first) * (1 - share))}"


def _left(seconds: float) -> str:
    return f"about {timedelta(seconds=round(seconds))} left"


@contextmanager
def shown_progress(pulse: Pulse | None = None) -> Iterator[Callable[[Progress], None]]:
    """Show a bar with the time left on a terminal, else one line a level and at each pulse."""
    start, remaining = time.perf_counter(), _Remaining()
    pulse = pulse or Pulse()
    if is_quiet() or not sys.stderr.isatty():

        def show_level(progress: Progress) -> None:
            step = (
                f"level {progress.level} of {progress.levels}: step {progress.done} of "
                f"{progress.total}, dissimilarity {progress.losses['dissimilarity']:.3f}"
            )
            pulse.change(f"{step}{remaining.phrase(progress.share)}")
            if progress.left == 0:
                pulse.show(f"{step}, {time.perf_counter() - start:.0f} s")

        yield show_level
        return

    pulse.change("")  # the bar moves

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("bringing the images together", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task,
                total=1.0,
                completed=progress.share,
                description=f"level {progress.level} of {progress.levels}, "
                f"dissimilarity {progress.losses['dissimilarity']:.3f}",
            )

        yield show


def pair_progress(total: int, pulse: Pulse | None = None) -> Callable[[PairOutcome], None]:
    """Return what reports each pair of a batch that ended, in one line, and the time left."""
    start = time.perf_counter()
    earlier = computed = 0
    pulse = pulse or Pulse()
    pulse.change(f"0 of {total} pairs")

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
            line += f", {outcome.seconds:.0f} s; {_left(left)}"
        pulse.show(line)
        pulse.change(f"{ended} of {total} pairs")

    return report


@contextmanager
def shown_training(pulse: Pulse | None = None) -> Iterator[Callable[[TrainingProgress], None]]:
    """Report each validation; show a bar with the time left on a terminal, else each pulse."""
    pulse, remaining = pulse or Pulse(), _Remaining()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, highlight=False, quiet=is_quiet())
    text = TextColumn("dissimilarity {task.fields[dissimilarity]:.3f}")
    columns = (MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), text)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=None, dissimilarity=1.0)

        def show(progress: TrainingProgress) -> None:
            dissimilarity = progress.losses["dissimilarity"]
            bar.update(
                task, total=progress.total, completed=progress.done, dissimilarity=dissimilarity
            )
            step = f"step {progress.done} of {progress.total}: dissimilarity {dissimilarity:.4f}"
            left = remaining.phrase(progress.done / progress.total)
            pulse.change("" if console.is_terminal else f"{step}{left}")
            if progress.validation is not None:
                scores = ", ".join(
                    f"{name.replace('_', ' ')} {value:.4g}"
                    for name, value in asdict(progress.validation).items()
                    if value is not None
                )
                bar.console.print(f"{step}; validation: {scores}", soft_wrap=True)

        yield show
