"""How a model is trained, and the TOML file that says it."""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from itk_nephi.augmentation import Augmentation
from itk_nephi.channels import WINDOWS
from itk_nephi.dataset import FolderPairs, PhantomPairs, TablePairs
from itk_nephi.files import require_file, spelling_hint
from itk_nephi.loss import Weights
from itk_nephi.nephi import ModelSettings
from itk_nephi.similarity import Similarity

KINDS_OF_PAIRS = {"table": TablePairs, "images": FolderPairs, "phantom": PhantomPairs}
"""What the pairs of a section come from, by the key that only it has."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Weights):
    """How a model is trained.

    Beside the following also the weights of the objective, :class:`itk_nephi.loss.Weights`.

    Parameters
    ----------
    steps : int
        Optimizer steps.
    batch_size : int
        Pairs of each pass, on each device.
    accumulate : int
        Passes of each step.
    similarity : str
        How the images are compared, see :class:`itk_nephi.RegistrationSettings`.
    local_windows : tuple of float
        Standard deviations of the windows of ``"local_ncc"``, voxels.
    smoothing_sigma : float
        Standard deviation of the images' Gaussian smoothing, voxels.
    points, regularizer_points : int
        Random points of each direction, pair and step at which images are compared, and how many
        of these also serve the regularizer.
    network_learning_rate, code_learning_rate : float
        Step sizes of Adam, of the fields, and of the encoder or the auto-decoder's codes.
    warm_up : int
        Steps during which these rise from 0; then they fall to 0 along a cosine.
    mixed_precision : bool
        Run the encoder in bfloat16; fields and objective stay in single precision.
    validate_every : int
        Steps between validations; a checkpoint is written at each, and at the end.
    devices, nodes : int
        How many CPU processes or GPUs train together on each of how many computers.
    seed : int
        Of all random numbers.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    steps: int = 10_000
    batch_size: int = 8
    accumulate: int = 1
    similarity: str = "ncc"
    local_windows: tuple[float, ...] = WINDOWS
    smoothing_sigma: float = 0.0
    points: int = 1_000
    regularizer_points: int = 100
    network_learning_rate: float = 3e-4
    code_learning_rate: float = 1e-3
    warm_up: int = 100
    mixed_precision: bool = False
    validate_every: int = 1_000
    devices: int = 1
    nodes: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "points", "regularizer_points", "devices")
        for name in (*counts, "nodes", "validate_every", "warm_up"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        super().__post_init__()
        if self.regularizer_points > self.points:
            raise ValueError(
                f"expected regularizer_points of at most points, {self.points}, got "
                f"{self.regularizer_points}"
            )
        Similarity.of(self.similarity, voxel=1.0)

    def learning_rate(self, step: int) -> float:
        """Return the share of the learning rates that a step, counted from 0, takes."""
        rising = min(1.0, (step + 1) / self.warm_up)
        return rising * (1 + math.cos(math.pi * step / self.steps)) / 2


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
    training: TrainingSettings = TrainingSettings()
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
