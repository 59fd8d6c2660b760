"""Checkpoints: the state of a registration in a file, from which it resumes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from itk_nephi.io.errors import plain_words
from itk_nephi.models.archive import ARCHIVE_ERRORS, read_archive, write_archive
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.transforms import flatten


class Checkpoint:
    """A checkpoint file, written atomically: it holds a complete state, or does not exist.

    Reading it executes no code.

    Parameters
    ----------
    path : Path
        The file.
    interval : float
        After how many seconds it is written again.
    run : dict of str to str
        What the registration depends on; the file of another one is refused.

    Raises
    ------
    ValueError
        If there is no folder for the file, or something else of its name.
    """

    def __init__(self, path: Path, interval: float, run: dict[str, str]) -> None:
        is_other = os.path.lexists(path) and not path.is_file()  # such as a folder or a pipe
        if not path.parent.is_dir() or is_other:
            raise ValueError(f"expected checkpoint to be a file in an existing folder, got {path}")
        if not interval >= 0:
            raise ValueError(f"expected checkpoint_interval of 0 or more, got {interval}")
        self._path, self._interval, self._run = path, interval, run
        # written after the first step, so that a full or forbidden disk is noticed at once
        self._next = -np.inf

    def is_due(self) -> bool:
        """Return whether it is time to write it again."""
        return time.perf_counter() >= self._next

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file by one with this state, of tensors, numbers, strings and collections."""
        write_archive({"run": self._run, "state": state}, self._path)
        self._next = time.perf_counter() + self._interval

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """Return the state in the file, its tensors on a device, or None if there is no file.

        Raises
        ------
        ValueError
            If the file is not the checkpoint of the same registration.
        """
        if not self._path.exists():
            return None
        with self.checked():
            found = read_archive(self._path, device)
            run, state = dict(found["run"]), dict(found["state"])
        names = self._run | run
        others = [name for name in names if run.get(name) != self._run.get(name)]
        if others:
            raise ValueError(
                "expected checkpoint of a registration of the same images with the same settings, "
                f"got {self._path} of one with another {', '.join(others)}; delete it to start anew"
            )
        return state

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Turn what goes wrong in taking over what the file holds into a ValueError."""
        try:
            yield
        except ARCHIVE_ERRORS as error:
            raise ValueError(
                f"expected checkpoint to be a file that a registration wrote, got {self._path}: "
                f"{plain_words(error)}"
            ) from error


def described_run(
    settings: RegistrationSettings, seed: int, inputs: dict[str, Any]
) -> dict[str, str]:
    """Return all that a registration depends on, by name, the inputs as digests.

    Parameters
    ----------
    settings : RegistrationSettings
        How to register; a dissimilarity is known by its name.
    seed : int
        The seed of all random numbers.
    inputs : dict of str to object
        ITK images and transforms, arrays, tensors, strings, None, and lists of these.
    """
    described = {"version": version("itk-nephi"), "seed": str(seed)}
    for field in fields(settings):
        value = getattr(settings, field.name)
        name = getattr(value, "__qualname__", type(value).__qualname__)
        described[field.name] = name if callable(value) else repr(value)
    return described | {name: _digest(value) for name, value in inputs.items()}


def _digest(value: Any) -> str:
    digest = hashlib.sha256()
    _feed(digest.update, value)
    return digest.hexdigest()


def _feed(update: Callable[[Any], None], value: Any) -> None:
    if isinstance(value, (list, tuple)):
        update(f"{len(value)} of".encode())
        for part in value:
            _feed(update, part)
    elif value is None or isinstance(value, str):
        update(repr(value).encode())
    elif isinstance(value, itk.TransformBaseTemplate[itk.D]):
        for part in flatten(value):
            update(part.GetNameOfClass().encode())
            _feed(update, [np.array(part.GetParameters()), np.array(part.GetFixedParameters())])
    elif hasattr(value, "GetLargestPossibleRegion"):
        update(repr(ImageDomain.of(value)).encode())
        _feed(update, itk.array_view_from_image(value))
    else:
        array = np.ascontiguousarray(value)
        update(f"{array.dtype} {array.shape}".encode())
        update(array)
