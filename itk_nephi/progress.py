"""What a registration tells while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from itk_nephi.optimisation import Progress


@contextmanager
def shown_progress() -> Iterator[Callable[[Progress], None]]:
    """Show a bar with the time left on a terminal, else one line a level."""
    start = time.perf_counter()
    if not sys.stderr.isatty():

        def tell(progress: Progress) -> None:
            if progress.left == 0:
                typer.echo(
                    f"level {progress.level} of {progress.levels}: step {progress.done} of "
                    f"{progress.total}, dissimilarity {progress.losses['dissimilarity']:.3f}, "
                    f"{time.perf_counter() - start:.0f} s",
                    err=True,
                )

        yield tell
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
