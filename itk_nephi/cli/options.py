"""The options that several commands share, and the settings that they make."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from itk_nephi.registration.settings import RegistrationSettings


class Preset(StrEnum):
    """The settings from which single ones are changed."""

    fast = "fast"
    default = "default"
    accurate = "accurate"


PresetOption = Annotated[
    Preset,
    typer.Option(
        "--preset",
        help="fast: 72 steps of each level, 3000 points; default; accurate: 300 steps, 10000 "
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

Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder for all results.")]

Device = Annotated[str, typer.Option(help="cpu, or cuda where there is a GPU.")]

Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]

Steps = Annotated[
    int | None,
    typer.Option(help="Optimizer steps of each level (default 150).", show_default=False),
]

Similarity = Annotated[
    str | None,
    typer.Option(
        help="local_ncc (default), ncc, mean_squares, or between modalities mind_ssc or "
        "mutual_information.",
        show_default=False,
    ),
]

Points = Annotated[
    int | None,
    typer.Option(
        help="Random points of each step (default 5000); fewer in small images.",
        show_default=False,
    ),
]

GradiconWeight = Annotated[
    float | None,
    typer.Option(
        help="Larger is smoother and closer to invertible (default 2).", show_default=False
    ),
]

SmoothingSigmas = Annotated[
    str | None,
    typer.Option(
        help="Blur of each level in voxels, coarse to fine (default 2,1).", show_default=False
    ),
]

WorkingVoxels = Annotated[
    int | None,
    typer.Option(
        help="Images of more voxels are averaged down to these (default 6000000); the result maps "
        "the images given.",
        show_default=False,
    ),
]

ElastixParameters = Annotated[
    list[Path] | None,
    typer.Option(
        help="elastix parameter file whose translatable parameters become settings; repeat for "
        "more, in elastix's order. Options given beside it win.",
        metavar="FILE",
    ),
]


def registration_settings(
    preset: Preset,
    *,
    smoothing_sigmas: str | None,
    elastix_parameters: list[Path] | None,
    **changes: Any,
) -> RegistrationSettings:
    """Return the settings of a preset, or those that elastix's parameters become, changed.

    Parameters
    ----------
    preset : Preset
        Where to start from.
    smoothing_sigmas : str or None
        Numbers separated by commas.
    elastix_parameters : list of Path or None
        Files whose translation is told.
    **changes
        Settings by name; those of None stay as they are.
    """
    from itk_nephi.registration.elastix_parameters import translate_parameters
    from itk_nephi.registration.settings import RegistrationSettings

    settings = RegistrationSettings.preset(preset)
    if elastix_parameters:
        if preset is not Preset.default:
            raise ValueError(f"expected --preset or --elastix-parameters, got both, {preset}")
        translation = translate_parameters(elastix_parameters)
        typer.echo(str(translation), err=True)
        settings = translation.settings
    if smoothing_sigmas is not None:
        changes["smoothing_sigmas"] = numbers(smoothing_sigmas, "--smoothing-sigmas")
    changes = {name: value for name, value in changes.items() if value is not None}
    points = changes.get("points", settings.points)
    changes["regularizer_points"] = min(points, settings.regularizer_points)
    return replace(settings, **changes)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Return numbers separated by commas, or say that ``option`` has none."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"expected {option} to be numbers separated by commas, got {text!r}"
        ) from None
