"""Readers that cannot be trusted, in a child process: it may crash, hang or ask for all memory."""

from __future__ import annotations

import faulthandler
import os
import pickle
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from itk_nephi.io.errors import plain_words

Result = TypeVar("Result")

SECONDS = 60
"""How long a reader may compute, and a second more for each MiB of its file."""

PATIENCE = 10
"""How many times longer it may take in all, with waiting for the disk."""

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
        The file, or a folder of files.
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
    size = _size(path) if size is None else size
    seconds, memory = SECONDS + size // 2**20, SPARE_BYTES + LARGEST_RATIO * size
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        _answer(read, path, seconds, memory, sending)
    os.close(sending)
    try:
        with os.fdopen(receiving, "rb") as pipe:
            printed, failed, answer = pickle.load(pipe)
    except (EOFError, pickle.UnpicklingError):
        printed, failed, answer = [], True, None
    finally:
        _, status = os.waitpid(child, 0)
    if failed:
        raise ValueError(answer or _end_in_words(status, seconds, is_written))
    return answer, printed


def _size(path: Path) -> int:
    """Return the bytes of a file, or of those in a folder."""
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _answer(
    read: Callable[[Path], Any], path: Path, seconds: int, memory: int, sending: int
) -> None:
    """Read in the child, send what came of it, and end the child."""
    try:
        faulthandler.disable()  # a crash becomes a sentence
        printed = os.memfd_create("printed")
        for descriptor in (1, 2):
            os.dup2(printed, descriptor)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE * seconds)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
        failed, answer = False, None
        try:
            answer = read(path)
        except Exception as error:
            failed, answer = True, plain_words(error)
            if isinstance(error, MemoryError) or re.search("allocate|bad_alloc", answer):
                answer = (
                    f"reading it takes more than {memory // 2**20} MiB of memory, "
                    "which its size does not justify"
                )
        os.lseek(printed, 0, os.SEEK_SET)
        lines = os.read(printed, 2**16).decode(errors="replace").splitlines()
        with os.fdopen(sending, "wb") as pipe:
            pickle.dump(([line for line in lines if line.strip()], failed, answer), pipe, 5)
    finally:
        os._exit(0)


def _end_in_words(status: int, seconds: int, is_written: bool) -> str:
    if is_written:
        return (
            "the library that writes it crashed: perhaps the disk is full, or it cannot write such "
            "images or numbers"
        )
    if not os.WIFSIGNALED(status):
        return "damaged: reading it ended without a result"
    number = os.WTERMSIG(status)
    if number in (signal.SIGXCPU, signal.SIGALRM):
        taken = seconds if number == signal.SIGXCPU else PATIENCE * seconds
        return f"reading it takes more than {taken} s, which its size does not justify"
    if number == signal.SIGKILL:
        return "reading it was ended from outside, perhaps for lack of memory"
    return f"damaged: reading it ends in a crash of the library ({signal.Signals(number).name})"
