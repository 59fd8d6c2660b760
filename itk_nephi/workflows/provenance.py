"""Where results come from: checksums of the inputs, versions of the software."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from itk_nephi.io.image_files import image_files
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.workflows.methods import METHODS


def describe_inputs(pair: ImagePair) -> dict[str, Any]:
    """Return the kind or file of a pair's initial transform, its files, and their checksums."""
    start = pair.initial_transform or "identity"
    if not isinstance(start, str):
        start = written_name(pair.sources.get("initial_transform", Path(start.GetNameOfClass())))
    return {
        "initial_transform": start,
        "inputs": {name: written_name(path) for name, path in pair.sources.items()},
        "sha256": {name: sha256(path) for name, path in pair.sources.items()},
    }


def sha256(path: Path) -> str:
    """Return the checksum of a file, or of all files of a folder or of an image in several."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file()]
    else:
        files = list(image_files(path).values())
        if len(files) == 1:
            return _file_sha256(path)
    parts = (f"{file.name} {_file_sha256(file)}" for file in sorted(files))
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def written_name(path: Path) -> str:
    """Return a path as text; what is no character of a name that is not UTF-8 becomes its code."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def find_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that registered."""
    packages = ["itk-nephi", "itk", "torch", "numpy"]
    packages += sorted({package for _, package in METHODS.values() if package})
    found = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError, KeyError):  # or damaged
            found[name] = importlib.metadata.version(name)
    return {"python": platform.python_version()} | {n: v for n, v in found.items() if v}
