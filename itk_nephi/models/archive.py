"""Archives of tensors: files with a digest, written atomically; reading one runs no code."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

MAGIC = b"itk-nephi archive 1 "
"""What a file begins with, before the digest of what follows the first line."""

ARCHIVE_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OverflowError,
    pickle.UnpicklingError,
)
"""What reading a damaged archive, or taking over what it holds, can raise."""


def write_archive(content: Any, path: Path) -> None:
    """Replace a file by one with tensors, numbers, strings and collections, on the disk in full."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getbuffer()
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n")
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_archive(path: Path, device: torch.device) -> Any:
    """Return what :func:`write_archive` wrote, its tensors on a device.

    Raises
    ------
    ValueError
        If the file is none, or damaged; what a file that another program made raises is one of
        ``ARCHIVE_ERRORS``.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("no archive of this package")
        digest, data = file.readline(65).strip().decode("latin-1"), file.read()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("damaged: its digest is another")
    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)
