"""Readers that cannot be trusted, in a child process: it may crash, hang or ask for all memory."""

from __future__ import annotations

import faulthandler
import os
import pickle
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from itk_nephi.io.errors import plain_words

Result = TypeVar("Result")

SECONDS = 60
"""How long a reader may compute, and a second more for each MiB of its file."""

SPARE_BYTES = 2**30
"""How much memory a reader may take, and more in proportion to its file."""

LARGEST_RATIO = 1100
"""How many bytes a byte of a file can stand for; of zlib's streams it is at most 1032."""


def read_apart(
    read: Callable[[Path], Result], path: Path, size: int | None = None
) -> tuple[Result, list[str]]:
    """Read a file in a child process, or write one, whatever that does to it.

    Parameters
    ----------
    read : callable
        From the file to what can be pickled.
    path : Path
        The file.
    size : int, optional
        Of a file that is written, bytes, which bounds time and memory.

    Returns
    -------
    result : object
        What ``read`` returned.
    messages : list of str
        The lines that libraries printed meanwhile.

    Raises
    ------
    ValueError
        If ``read`` raised, or the process died; the message names the cause.
    """
    is_written = size is not None
    size = path.stat().st_size if size is None else size
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        _answer(read, path, size, sending)
    os.close(sending)
    try:
        with os.fdopen(receiving, "rb") as pipe:
            printed, failed, answer = pickle.load(pipe)
    except (EOFError, pickle.UnpicklingError):
        printed, failed, answer = [], True, None
    finally:
        _, status = os.waitpid(child, 0)
    if failed:
        raise ValueError(answer or _end_in_words(status, is_written))
    return answer, printed


def _answer(read: Callable[[Path], Any], path: Path, size: int, sending: int) -> None:
    """Read in the child, send what came of it, and end the child."""
    try:
        faulthandler.disable()  # a crash becomes a sentence
        printed = os.memfd_create("printed")
        for descriptor in (1, 2):
            os.dup2(printed, descriptor)
        seconds = SECONDS + size // 2**20
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * resource.getpagesize() + SPARE_BYTES + LARGEST_RATIO * size
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
        failed, answer = False, None
        try:
            answer = read(path)
        except MemoryError:
            failed, answer = True, "damaged: it asks for more memory than its size justifies"
        except Exception as error:
            failed, answer = True, plain_words(error)
        os.lseek(printed, 0, os.SEEK_SET)
        lines = os.read(printed, 2**16).decode(errors="replace").splitlines()
        with os.fdopen(sending, "wb") as pipe:
            pickle.dump(([line for line in lines if line.strip()], failed, answer), pipe, 5)
    finally:
        os._exit(0)


def _end_in_words(status: int, is_written: bool) -> str:
    if is_written:
        return "the library that writes it crashed, perhaps as the disk is full"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in (signal.SIGXCPU, signal.SIGKILL):
            return "damaged: reading it does not end"
        return f"damaged: reading it ends in a crash of the library ({signal.Signals(number).name})"
    return "damaged: reading it ended without a result"
