"""The options that several commands share, and the settings that they make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from itk_nephi.optimisation import RegistrationSettings

Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder for all results.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda where there is a GPU.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Steps = Annotated[
    int | None,
    typer.Option(help="Optimiser steps of each level (default 150).", show_default=False),
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
    typer.Option(help="Random points of each step (default 5000).", show_default=False),
]
Smoothness = Annotated[
    float | None,
    typer.Option(
        help="Larger is smoother and closer to invertible (default 0.5).", show_default=False
    ),
]
Smoothing = Annotated[
    str | None,
    typer.Option(
        help="Blur of each level in voxels, coarse to fine (default 2,1).", show_default=False
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
    *,
    similarity: str | None,
    steps: int | None,
    points: int | None,
    smoothness: float | None,
    smoothing: str | None,
    elastix_parameters: list[Path] | None,
) -> RegistrationSettings:
    """Return settings with what the user gave, and tell what elastix's parameters became."""
    from itk_nephi.elastix import translated
    from itk_nephi.optimisation import RegistrationSettings

    start = RegistrationSettings()
    if elastix_parameters:
        translation = translated(elastix_parameters)
        typer.echo(str(translation), err=True)
        start = translation.settings
    given: dict[str, Any] = {
        "similarity": similarity,
        "steps": steps,
        "points": points,
        "smoothness": smoothness,
        "smoothing": None if smoothing is None else numbers(smoothing, "--smoothing"),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if points is not None:
        changes["regularizer_points"] = min(points, start.regularizer_points)
    return replace(start, **changes)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Return numbers separated by commas, or say that ``option`` has none."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"expected {option} to be numbers separated by commas, got {text!r}"
        ) from None
