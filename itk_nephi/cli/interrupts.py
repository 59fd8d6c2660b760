"""Ctrl-C and SIGTERM: the same, and lost nowhere."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

PATIENCE = 0.05
"""After which time an interrupt comes again that could not be raised, seconds."""


def heed_interrupts() -> None:
    """Treat SIGTERM, which schedulers and service managers send, as Ctrl-C, in this process.

    An exception that is raised while modules are loading may end in an ``except`` of a library, or
    of the interpreter while it collects garbage, and the command would go on. So it is raised when
    they are loaded, and raised again where it was ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _as_interrupt)
    sys.unraisablehook = _again_if_interrupted


def _as_interrupt(_: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else _interrupt)(signal.SIGINT, frame)


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
