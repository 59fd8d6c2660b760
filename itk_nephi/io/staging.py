"""Atomic writes: the files of a folder appear together, once all are complete."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        stage = Path(tempfile.mkdtemp(prefix=".itk-nephi-", dir=folder))
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
