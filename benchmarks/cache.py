"""Trials that are made once: their figures in JSON, by digest of inputs and code version."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from itk_nephi.workflows.provenance import find_versions, sha256

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""

SOURCES = ("itk_nephi", "include", "src", "wrapping")
"""Folders of the checkout whose files are the code version."""

Figures = dict[str, Any]
"""What a trial measured, as JSON holds it."""


def make_once(
    folder: Path, name: str, function: Callable[..., Figures], /, **arguments: Any
) -> Figures:
    """Return the figures of a trial; make it only if it was not made before.

    Parameters
    ----------
    folder : Path
        Of all trials. Each has a folder of its own there, with figures.json.
    name : str
        What people call the trial; the digest tells it from others.
    function : callable
        Makes it: takes its empty folder and the arguments, and returns figures.
    **arguments
        Numbers, text, paths, dataclasses, and sequences and mappings of these. Files count by their
        content.

    Returns
    -------
    dict
        The figures. Those of a trial that fails are its reason, ``error``, and are not kept: the
        next call makes it anew.
    """
    inputs = {"function": inspect.getsource(function), "code": code_version()}
    inputs |= {"arguments": describe_input(arguments)}
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    place = folder / f"{slug(name)}-{digest[:12]}"
    kept = place / "figures.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    log(f"{name} ...")
    start = time.perf_counter()
    try:
        text = json.dumps(function(place, **arguments), indent=2)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        log(f"{name}: failed: {error}")
        return {"error": str(error)}
    log(f"{name}: {time.perf_counter() - start:.0f} s")
    unfinished = kept.with_suffix(".unfinished")
    unfinished.write_text(text + "\n")
    unfinished.replace(kept)
    return dict(json.loads(text))


def describe_input(value: Any) -> Any:
    """Return as JSON what tells an input from others: of files and folders, their content."""
    match value:
        case Path() if value.is_dir():
            return {str(p.relative_to(value)): sha256(p) for p in _files(value)}
        case Path():
            return sha256(value)
        case dict():
            return {str(key): describe_input(entry) for key, entry in value.items()}
        case list() | tuple():
            return [describe_input(entry) for entry in value]
        case _ if is_dataclass(value):
            entries = {field.name: getattr(value, field.name) for field in fields(value)}
            return {"type": type(value).__name__} | describe_input(entries)
    return value


@cache
def code_version() -> str:
    """Return the digest of the package's source and of the versions of what it stands on."""
    content = [(str(path.relative_to(ROOT)), sha256(path)) for path in _sources()]
    return hashlib.sha256(json.dumps([content, find_versions()]).encode()).hexdigest()


def slug(name: str) -> str:
    """Return a name as one of a file or folder."""
    return re.sub(r"[^-.=\w]+", "-", name)


def log(text: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def _sources() -> list[Path]:
    found = [path for name in SOURCES for path in _files(ROOT / name)]
    return [path for path in found if "__pycache__" not in path.parts]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
