"""Ctrl-C, SIGTERM and SIGHUP: the same, and lost nowhere."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

PATIENCE = 0.05
"""After which time an interrupt comes again that could not be raised, seconds."""


def heed_interrupts() -> None:
    """Treat SIGTERM of schedulers and SIGHUP of closed terminals as Ctrl-C, in this process.

    Those that are ignored stay so, as SIGHUP is under nohup.

    An exception that is raised while modules are loading may end in an ``except`` of a library, or
    of the interpreter while it collects garbage, and the command would go on. So it is raised when
    they are loaded, and raised again where it was ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _as_interrupt)
    sys.unraisablehook = _again_if_interrupted


@contextmanager
def kept_if_interrupted(words: str) -> Iterator[None]:
    """Report what an interrupted command has written, where that is not nothing."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"itk-nephi: interrupted; {words}", err=True)
        raise typer.Exit(130) from None


def report_interruption(steps: int) -> None:
    """Report that what was reached after some steps is written."""
    typer.echo(
        f"itk-nephi: interrupted after step {steps}: writing what was reached so far (Ctrl-C again "
        "writes nothing)",
        err=True,
    )


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _leave_terminal()
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else _interrupt)(signal.SIGINT, frame)


def _leave_terminal() -> None:
    """Print to nothing where the terminal is gone, so that results can still be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            os.write(stream.fileno(), b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _interrupt(_: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _again_if_interrupted(ignored: Any) -> None:
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    else:
        sys.__unraisablehook__(ignored)
