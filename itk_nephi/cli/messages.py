"""Messages on stderr beside a command's own lines: logs, warnings, and prints of libraries."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer


@contextmanager
def shown_messages(level: int) -> Iterator[None]:
    """Show log lines and warnings, each as one plain line, while a command runs.

    Parameters
    ----------
    level : int
        From which level on log lines of this package are shown. Warnings are lines of the level
        ``logging.WARNING``, and so is what :func:`report` prints.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("itk-nephi: %(message)s"))
    everyone, package = logging.getLogger(), logging.getLogger("itk_nephi")
    usual = package.level
    everyone.addHandler(handler)
    package.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: package.warning("warning: %s", message)
            yield
    finally:
        package.setLevel(usual)
        everyone.removeHandler(handler)


def report(line: str) -> None:
    """Print a note to stderr, unless only errors are shown."""
    if not is_quiet():
        typer.echo(line, err=True)


def is_quiet() -> bool:
    """Whether only errors are shown."""
    return not logging.getLogger("itk_nephi").isEnabledFor(logging.WARNING)


def open_standard_streams() -> None:
    """Open those of the three standard streams that are closed, on nothing.

    Else the next files that are opened would get their descriptors, and what is printed. What of a
    file's name is no character is printed as its code.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            with suppress(OSError):
                os.close(number)
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def libraries_apart() -> Iterator[None]:
    """Show what C and C++ libraries print to stderr after the messages of a command.

    Libraries below ITK report a damaged file to descriptor 2, in words of their own, beside the
    exception that means the same. Of a command that failed they are left out. This is for a process
    of our own: descriptors belong to all threads.
    """
    terminal, usual, failed = os.dup(2), sys.stderr, False
    # in memory, as the disk may be full
    with (
        os.fdopen(os.memfd_create("printed"), "w+b") as printed,
        os.fdopen(terminal, "w", 1, errors="backslashreplace") as sys.stderr,
    ):
        os.dup2(printed.fileno(), 2)
        try:
            yield
        except SystemExit as ending:
            failed = ending.code not in (0, None)
            raise
        finally:
            os.dup2(terminal, 2)
            printed.seek(0)
            lines = printed.read().decode(errors="replace").splitlines()
            for line in [] if failed else lines:
                typer.echo(f"itk-nephi: {line}", err=True)
            sys.stderr = usual
