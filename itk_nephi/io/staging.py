"""Atomic writes: what is complete appears, what is not is removed; and a lock on a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

UNFINISHED = ".itk-nephi-"
"""How the names of temporary folders begin."""

LOCK = ".itk-nephi.lock"
"""The file by which a process keeps others from a folder; it stays when the process has ended."""


@contextmanager
def staged(folder: Path, argument: str) -> Iterator[Path]:
    """Give a temporary folder whose files replace those of ``folder`` if all goes well.

    Raises
    ------
    ValueError
        At once, if ``folder`` cannot be made or written; ``argument`` is what the message calls it.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = _temporary(folder)
    except OSError as error:
        raise ValueError(
            f"expected {argument} to be where files can be written, got {folder}: {error.strerror}"
        ) from error
    try:
        yield stage
        for file in sorted(stage.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a folder, beside those that are complete, which is removed unless it was renamed."""
    folder = _temporary(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(folder: Path, writer: str) -> Iterator[None]:
    """Let nobody else lock a folder, and clear it of what a killed process has left unfinished.

    Raises
    ------
    ValueError
        If another has locked it; ``writer`` is what the message calls who does.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"expected no other {writer} that writes to {folder}, got one") from None
    try:
        _clear(folder)
        yield
        _clear(folder)
    finally:
        lock.release()


def _temporary(parent: Path) -> Path:
    folder = parent / f"{UNFINISHED}{uuid4().hex}"
    folder.mkdir()
    return folder


def _clear(folder: Path) -> None:
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
