"""The TOML file that says how and on what to train."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from itk_nephi.io.errors import require_file, spelling_hint
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.training.augmentation import Augmentation
from itk_nephi.training.datasets import FolderPairs, PhantomPairs, TablePairs
from itk_nephi.training.settings import TrainingSettings

KINDS_OF_PAIRS = {"table": TablePairs, "images": FolderPairs, "phantom": PhantomPairs}
"""What the pairs of a section come from, by the key that only it has."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that defines a training: the sections of its TOML file.

    Parameters
    ----------
    model : ModelSettings
        What the model is.
    training : TrainingSettings
        How it is trained.
    pairs, validation : TablePairs, FolderPairs or PhantomPairs
        What on, and what it is judged by.
    augmentation : Augmentation
        How the images are changed at random.
    """

    model: ModelSettings
    pairs: TablePairs | FolderPairs | PhantomPairs
    validation: TablePairs | FolderPairs | PhantomPairs
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    @classmethod
    def read(cls, path: Path, folder: Path | None = None) -> TrainingConfig:
        """Read a TOML file.

        Parameters
        ----------
        path : Path
            With a section for each parameter of this class, and in it the parameters of that.
            ``encoder = false`` in the model's stands for none, an auto-decoder.
        folder : Path, optional
            What the paths in it are relative to; by default its own folder.

        Raises
        ------
        ValueError
            If it is no such file, or a key or value is not what it should be.
        """
        require_file(path, "CONFIG")
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"expected CONFIG to be a TOML file, got {path}: {error}") from error
        made: TrainingConfig = _made(cls, content, "", folder or path.absolute().parent)
        return made


def _made(kind: type[Any], content: Any, where: str, folder: Path) -> Any:
    """Make a dataclass of a section; ``where`` is the section's name, with a dot behind."""
    name = where.rstrip(".") or "CONFIG"
    if not isinstance(content, dict):
        raise ValueError(f"expected {name} to be a section, got {content!r}")
    known = {entry.name: entry for entry in fields(kind)}
    for key in content:
        if key not in known:
            raise ValueError(f"got an unknown key {where}{key}; {spelling_hint(key, known)}")
    for key, entry in known.items():
        if key not in content and entry.default is MISSING and entry.default_factory is MISSING:
            raise ValueError(f"expected {where}{key}, got none")
    types = get_type_hints(kind)
    values = {
        key: _value(types[key], value, f"{where}{key}", folder) for key, value in content.items()
    }
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _value(expected: Any, value: Any, where: str, folder: Path) -> Any:
    """Return a TOML value as the type that a dataclass expects."""
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Union, UnionType):
        choices = [kind for kind in arguments if kind is not NoneType]
        if len(choices) == 1:
            none = value is False and NoneType in arguments
            return None if none else _value(choices[0], value, where, folder)
        named = [key for key in KINDS_OF_PAIRS if isinstance(value, dict) and key in value]
        if len(named) != 1:
            raise ValueError(
                f"expected {where} to have one of {', '.join(KINDS_OF_PAIRS)}, got "
                f"{', '.join(named) or 'none'}"
            )
        return _made(KINDS_OF_PAIRS[named[0]], value, f"{where}.", folder)
    if isinstance(expected, type) and is_dataclass(expected):
        return _made(expected, value, f"{where}.", folder)
    if origin is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            both = zip(kinds, value, strict=True)
            return tuple(_value(kind, entry, where, folder) for kind, entry in both)
    if origin is Literal and value in arguments:
        return value
    if expected is Path and isinstance(value, str):
        return folder / value
    if expected is float and type(value) is int:
        return float(value)
    if isinstance(expected, type) and type(value) is expected:
        return value
    names = {
        tuple: "a list of the right length",
        Literal: f"one of {', '.join(map(str, arguments))}",
    }
    wanted = names.get(origin) or {Path: "a path"}.get(expected) or f"of type {expected.__name__}"
    raise ValueError(f"expected {where} to be {wanted}, got {value!r}")
