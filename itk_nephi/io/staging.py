"""Atomic writes: what is complete appears, what is not is removed; and a lock on a folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from itk_nephi.io.image_files import image_files

UNFINISHED = ".itk-nephi-"
"""How the names of temporary folders begin; hexadecimal digits follow, first those of the host."""

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux has what is new with each start of the host."""

LOCK = ".itk-nephi.lock"
"""The file by which a process keeps others from a folder; it stays when the process has ended."""


@contextmanager
def staged(
    folder: Path, argument: str, names: Collection[str] = (), inputs: Collection[Path] = ()
) -> Iterator[Path]:
    """Give a temporary folder whose files, on the disk in full, replace those of ``folder``.

    A folder that is new appears with all of its files or not at all. What runs that died have left
    is cleared.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    argument : str
        What messages call it.
    names : collection of str
        The files that will be written, also into folders of it, as far as they are known.
    inputs : collection of Path
        Files that are not to be replaced.

    Raises
    ------
    ValueError
        At once, if ``folder`` cannot be made or written, one of the files is a folder there, or one
        of the inputs.
    """
    check_targets([folder / name for name in names], argument, inputs)
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    begun = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for where in (folder, folder.parent):  # a folder may have been new when a run died
            clear_unfinished(where)
        with temporary_folder(folder, beside=bool(made)) as stage:
            begun = True
            yield stage
            files = sorted(stage.iterdir())
            check_targets([folder / file.name for file in files], argument, inputs)
            for file in files:
                sync(file)
            if made and not any(folder.iterdir()):
                stage.rename(folder)
            else:
                for file in files:
                    file.replace(folder / file.name)
            sync(folder)
    except OSError as error:
        if begun:
            raise
        raise ValueError(
            f"expected {argument} to be where files can be written, got {folder}: {error.strerror}"
        ) from error
    finally:
        _remove_empty(made)


@contextmanager
def staged_file(path: Path, argument: str, inputs: Collection[Path] = ()) -> Iterator[Path]:
    """Give a temporary file that replaces ``path`` if all goes well; else as :func:`staged`."""
    with staged(path.parent, argument, [path.name], inputs) as stage:
        yield stage / path.name


@contextmanager
def temporary_folder(folder: Path, *, beside: bool) -> Iterator[Path]:
    """Give a folder, beside or in another one, which is removed unless it was renamed.

    It is locked while this process lives, so that others do not take it for left over. Messages
    name its files as if they were in the other one.
    """
    parent = folder.parent if beside else folder
    is_ours = False
    while not is_ours:
        stage, lock = parent / unfinished_name(), None
        try:
            with _final_names(stage, folder):
                stage.mkdir()
                lock = os.open(stage, os.O_RDONLY)
                with suppress(OSError):  # without locks nobody clears what he cannot lock
                    fcntl.flock(lock, fcntl.LOCK_EX)
                is_ours = stage.exists()  # else another process took it for left over
                if is_ours:
                    yield stage
        finally:  # an interrupt, too, leaves nothing
            _remove(stage)
            if lock is not None:
                os.close(lock)


def clear_unfinished(folder: Path) -> None:
    """Remove the temporary folders of processes of this host that have ended.

    Locks may be unknown to other hosts, whose folders are left alone.
    """
    name, boot = _host()
    ours = re.compile(f"{re.escape(UNFINISHED)}({name}[0-9a-f]{{8}}|[0-9a-f]{{8}}{boot})[0-9a-f]*")
    for left in folder.glob(f"{UNFINISHED}*"):
        if left.is_symlink() or not ours.fullmatch(left.name):
            continue
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def unfinished_name() -> str:
    """Return a new name of a temporary folder, which shows that it is of this host."""
    return f"{UNFINISHED}{''.join(_host())}{uuid4().hex}"


def _host() -> tuple[str, str]:
    """Return digits of the host's name, which stays after a restart, and of when it was started.

    The latter is the same in all of its containers, which have names of their own.
    """
    name, started = (
        hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        for text in (os.uname().nodename, BOOT.read_text())
    )
    return name, started


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
        clear_unfinished(folder)
        yield
        clear_unfinished(folder)
    finally:
        lock.release()


def _remove(folder: Path) -> None:
    """Remove a folder, once more where an interrupt comes meanwhile."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def check_targets(targets: Collection[Path], argument: str, inputs: Collection[Path]) -> None:
    """Raise ValueError if a file to write is a folder, or one of the inputs."""
    files = [file for path in inputs for file in image_files(path).values()]
    taken = {_identity(path): path for path in files if path.exists()}
    for target in targets:
        if target.is_dir() and not target.is_symlink():
            raise ValueError(f"expected {argument} to leave {target} to a file, got a folder there")
        if target.exists() and (path := taken.get(_identity(target))):
            raise ValueError(f"expected {argument} to replace no input, got {path} as both")


def _identity(path: Path) -> tuple[int, int]:
    """Return what two names of one file share."""
    status = path.stat()
    return status.st_dev, status.st_ino


@contextmanager
def _final_names(stage: Path, folder: Path) -> Iterator[None]:
    """Let messages name files where they would have appeared, and the folder if they name none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(folder)) from error
        if str(stage) not in str(error):
            raise
        name = str(error.filename).replace(str(stage), str(folder))
        raise OSError(error.errno, error.strerror, name) from error
    except (ValueError, RuntimeError) as error:
        if str(stage) not in str(error):
            raise
        raise type(error)(str(error).replace(str(stage), str(folder))) from error


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk; raises what had gone wrong in writing it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems cannot wait for folders
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
