"""Options of `itk-nephi register` that say how long it may take, and what it needs."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itk_nephi import files
from itk_nephi.composite import flat_transforms

if TYPE_CHECKING:
    from itk_nephi.settings import RegistrationSettings


class Preset(StrEnum):
    """The settings from which single ones are changed."""

    fast = "fast"
    default = "default"
    accurate = "accurate"


PresetOption = Annotated[
    Preset,
    typer.Option(
        "--preset",
        help="fast: 60 steps of each level, 3000 points; default; accurate: 400 steps, 10000 "
        "points. Single options change it.",
        metavar="NAME",
    ),
]
EarlyStop = Annotated[
    bool,
    typer.Option(
        "--early-stop", help="End a level soon after its dissimilarity has stopped falling."
    ),
]
MaxTime = Annotated[
    float | None,
    typer.Option(
        help="Seconds for the registration, without reading and writing: takes fewer steps where "
        "they do not suffice. The result depends on the machine's speed.",
        metavar="SECONDS",
    ),
]
MemoryLimit = Annotated[
    float | None,
    typer.Option(
        help="MiB for the copies of the images, their channels and a step, beside the images "
        "and the libraries.",
        metavar="MIB",
    ),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        help="Keep the state in this file, and go on from there if it exists; deleted at the end.",
        metavar="FILE",
    ),
]
WarmStart = Annotated[
    Path | None,
    typer.Option(
        help="fixed_to_moving.h5 of an earlier registration on the same fixed grid, to go on from. "
        "Its initial transform is not taken over.",
        metavar="TRANSFORM",
    ),
]


def chosen_settings(preset: Preset, **changes: Any) -> RegistrationSettings:
    """Return the settings of a preset, changed where an option is not None."""
    from itk_nephi.settings import RegistrationSettings

    presets = {
        Preset.fast: RegistrationSettings.fast,
        Preset.default: RegistrationSettings,
        Preset.accurate: RegistrationSettings.accurate,
    }
    settings = presets[preset]()
    changes = {name: value for name, value in changes.items() if value is not None}
    points = changes.get("points", settings.points)
    changes["regularizer_points"] = min(points, settings.regularizer_points)
    return replace(settings, **changes)


def warm_start_transform(path: Path, dimension: int) -> Any:
    """Read the neural transform with which a point of the fixed image is moved first.

    Raises
    ------
    ValueError
        If the file does not begin with one.
    """
    transform = flat_transforms(files.read_transform(path, "--warm-start", dimension))[0]
    if transform.GetNameOfClass() != "NePhiTransform":
        raise ValueError(
            "expected --warm-start to be fixed_to_moving.h5 of an earlier registration, got "
            f"{path}, which begins with {transform.GetNameOfClass()}"
        )
    return transform
