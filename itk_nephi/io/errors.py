"""Errors of ITK and its libraries in plain words."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

READING_ERRORS = (
    *(RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(OSError, EOFError, struct.error, zlib.error),
)
"""What a damaged file can raise in its reader."""

SHEARED = (
    "its axes are sheared, which ITK has no images of: resample it onto straight axes first, "
    "for instance with nibabel.processing.conform or 3D Slicer's module Resample Image"
)

_NOT_UTF8 = "its name, or that of its folder, is not UTF-8, as ITK needs it: rename it"

_HELP = {
    "of type 'char const *'": _NOT_UTF8,
    "surrogates not allowed": _NOT_UTF8,
    "No orthonormal definition found": SHEARED,
}
"""What helps where ITK only names the cause."""


def plain_words(error: BaseException) -> str:
    """Return an exception's message as one line, without what ITK's C++ adds to it."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.strerror}: {error.filename}"
    message = re.sub(r"^\S+:\d+:\s*", "", text.strip())
    message = re.sub(r"WARNING: In \S+, line \d+\s+\w+ \(0x[0-9a-f]+\): ", "", message)
    message = re.sub(r"ITK ERROR: (\w+\(0x[0-9a-f]+\): )?", "", message)
    message = re.sub(r"\s*Tried to create one of the following:.*", "", message, flags=re.DOTALL)
    message = re.sub(r"\s*The usual cause of this error is not.*", "", message, flags=re.DOTALL)
    message = re.sub(r"\s*To limit the size of the package,.*", "", message, flags=re.DOTALL)
    for known, words in _HELP.items():
        if known in message:
            message = words
    return " ".join(message.split()).rstrip(".") or type(error).__name__


def is_damage(printed: list[str]) -> bool:
    """Whether what libraries print while they read a file is more than warnings.

    A line that is none of a warning is more, where those of ITK and GDCM have several lines; so is
    a warning that voxels are not what they should be.
    """
    within = False
    for line in printed:
        if re.search("missing slices|discarding", line, re.I):
            return True
        if "warning" in line.lower():
            within = line.lower().startswith("warning: in ")
        elif not within:
            return True
    return False


def spelling_hint(name: str, known: Collection[str]) -> str:
    """Ask whether an unknown name is one that it is part of or else spelled like, or list all."""
    near = [other for other in known if f"_{name}_" in f"_{other}_"]
    near = near or get_close_matches(name, known, n=1)
    return f"is it {' or '.join(near)}?" if near else f"known are {', '.join(known)}"


def require_file(path: Path, argument: str) -> None:
    """Raise a ValueError unless there is such a file; ``argument`` is what the message calls it."""
    if not path.is_file():
        found = "which does not exist"
        if path.exists():
            found = "a folder" if path.is_dir() else "a pipe or a device"
        raise ValueError(f"expected {argument} to be a file, got {path}, {found}")


@contextmanager
def plain_errors(expectation: str) -> Iterator[None]:
    """Turn what ITK throws into one ValueError."""
    try:
        yield
    except READING_ERRORS as error:
        raise ValueError(f"{expectation}: {plain_words(error)}") from error
