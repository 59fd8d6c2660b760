"""``itk-nephi register-series``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from itk_nephi.cli import options
from itk_nephi.cli.interrupts import report_interruption
from itk_nephi.cli.messages import report
from itk_nephi.cli.progress import Pulse, shown_progress
from itk_nephi.io.staging import staged
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.initialization import KINDS


@options.of_settings(RegistrationSettings)
def register_series(
    fixed: Annotated[
        Path, typer.Argument(metavar="FIXED", help="Image that gives the output grid.")
    ],
    moving: Annotated[
        list[Path],
        typer.Argument(metavar="MOVING...", help="Images of the same subject, in order of time."),
    ],
    output: options.Folder,
    times: Annotated[
        str | None,
        typer.Option(
            help="When they were taken, rising, in any unit (default 0,1,2 and so on).",
            metavar="T,T,...",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Further times whose transforms are written.", metavar="T,T,..."),
    ] = None,
    knots: Annotated[
        str | None,
        typer.Option(
            help="Times between which the latent code is linear (default those of the images).",
            metavar="T,T,...",
            show_default=False,
        ),
    ] = None,
    fixed_mask: Annotated[
        Path | None, typer.Option(help="Image on the fixed grid, non-zero where to compare.")
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(help="The same for MOVING; repeat for each, in the same order."),
    ] = None,
    initial_transform: Annotated[
        str,
        typer.Option(help=f"At all times: {', '.join(KINDS)}, or a file with any ITK transform."),
    ] = "identity",
    *,
    preset: options.PresetOption = None,
    settings: options.SettingsFile = None,
    changes: dict[str, Any],
    device: options.Device = "cpu",
    seed: options.Seed = 0,
) -> None:
    """Register an image with those of the same subject at several times, together.

    Files, with each time T in their names: fixed_to_moving_T.h5,
    moving_to_fixed_T.h5, warped_T.nii.gz; and metrics.json. All times share
    the fields, and the latent code moves with time, so that transforms are
    known between the images too.
    """
    when = tuple(map(float, range(len(moving))))
    if times is not None:
        when = options.numbers(times, "--times")
    between = () if at is None else options.numbers(at, "--at")
    chosen = options.registration_settings(preset, settings, None, changes)
    masks = mask or []
    inputs = [fixed, *moving, *masks, *([fixed_mask] if fixed_mask else [])]
    if initial_transform not in KINDS:
        inputs.append(Path(initial_transform))
    from itk_nephi.workflows.series_files import files, register_series_files

    with (
        staged(output, "--output", files(when, between), inputs) as stage,
        Pulse("starting") as pulse,
        shown_progress(pulse) as callback,
    ):
        found = register_series_files(
            fixed,
            moving,
            stage,
            times=when,
            at=between,
            knots=None if knots is None else options.numbers(knots, "--knots"),
            fixed_mask=fixed_mask,
            masks=masks,
            initial_transform=initial_transform,
            settings=chosen,
            device=device,
            seed=seed,
            callback=callback,
            stage=pulse.begin,
            interrupted=report_interruption,
        )
    report(f"registered {len(moving)} images, {len(found.history)} steps: {output}")
    if found.interrupted:
        raise typer.Exit(130)
