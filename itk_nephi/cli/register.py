"""``itk-nephi register``."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from itk_nephi.cli import options
from itk_nephi.cli.interrupts import report_interruption
from itk_nephi.cli.progress import Pulse, shown_progress
from itk_nephi.io.pair_files import PairPaths
from itk_nephi.io.staging import staged
from itk_nephi.registration.settings import RefinedName, RegistrationSettings
from itk_nephi.spatial.initialization import KINDS
from itk_nephi.workflows import outputs


class Refine(StrEnum):
    """What the steps after a prediction change."""

    splines = "splines"
    code = "code"
    code_and_weights = "code_and_weights"


@options.of_settings(RegistrationSettings)
def register(
    ctx: typer.Context,
    fixed: Annotated[
        Path, typer.Argument(metavar="FIXED", help="Image that gives the output grid.")
    ],
    moving: Annotated[
        Path, typer.Argument(metavar="MOVING", help="Image to bring onto the fixed image.")
    ],
    output: options.Folder,
    fixed_mask: Annotated[
        Path | None,
        typer.Option(
            help="Image on the fixed grid, non-zero where to compare; float values in [0, 1] are "
            "weights."
        ),
    ] = None,
    moving_mask: Annotated[Path | None, typer.Option(help="The same on the moving grid.")] = None,
    initial_transform: Annotated[
        str,
        typer.Option(help=f"{', '.join(KINDS)}, or a file with any ITK transform."),
    ] = "affine",
    *,
    preset: options.PresetOption = None,
    _config: options.Configuration = None,
    changes: dict[str, Any],
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    evaluation_landmarks: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns fixed_x, fixed_y, fixed_z, moving_x, ... in mm, only to judge "
            "the result.",
            rich_help_panel=options.IMAGES,
        ),
    ] = None,
    labels: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Label images of fixed and moving, only to judge the result.",
            metavar="FIXED MOVING",
            rich_help_panel=options.IMAGES,
        ),
    ] = None,
    guide_landmarks: Annotated[
        Path | None,
        typer.Option(
            help="CSV of landmark pairs to bring together, columns as for --evaluation-landmarks: "
            "these steer the registration, and do not evaluate it.",
            rich_help_panel=options.IMAGES,
        ),
    ] = None,
    fixed_channel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another image of the same subject on the fixed grid; repeat for more.",
            rich_help_panel=options.IMAGES,
        ),
    ] = None,
    moving_channel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Its counterpart on the moving grid, in the same order.",
            rich_help_panel=options.IMAGES,
        ),
    ] = None,
    channel_weights: Annotated[
        str | None,
        typer.Option(
            help="Weights of MOVING and of each --moving-channel (default all the same).",
            metavar="W,W,...",
            rich_help_panel=options.IMAGES,
        ),
    ] = None,
    series: options.Series = None,
    results: options.Results = "all",
    settings: options.SettingsFile = None,
    elastix_parameters: options.ElastixParameters = None,
    checkpoint: options.CheckpointFile = None,
    checkpoint_interval: options.CheckpointInterval = 30.0,
    warm_start: options.WarmStart = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model file that predicts the deformation, without optimization.",
            rich_help_panel=options.MODELS,
        ),
    ] = None,
    refine_steps: Annotated[
        int,
        typer.Option(
            help="Optimizer steps after the prediction of --model.", rich_help_panel=options.MODELS
        ),
    ] = 0,
    refine: Annotated[
        Refine | None,
        typer.Option(
            help="What they change: B-splines on top of the prediction, the default with the "
            "presets; the latent code; or code and weights of the fields.",
            rich_help_panel=options.MODELS,
        ),
    ] = None,
) -> None:
    """Register two images, and write the transforms, the warped image, metrics and a picture.

    Files: fixed_to_moving.h5, moving_to_fixed.h5, warped.nii.gz (linear,
    0 outside the moving image), jacobian_determinant.nii.gz, metrics.json,
    config.toml, overview.png, report.html; --results chooses. Ctrl-C keeps
    what was reached so far.
    """
    options.refuse_two_origins(ctx)
    if model is not None and "steps" in changes:
        raise ValueError("expected --refine-steps with --model, got --steps")
    if refine is not None and model is not None and not refine_steps:
        raise ValueError("expected --refine with --refine-steps of 1 or more, got none")
    written = options.chosen_results(results)
    refined: RefinedName | None = refine.value if refine else None
    chosen = options.registration_settings(preset, settings, elastix_parameters, changes, refined)
    paths = PairPaths(
        fixed=fixed,
        moving=moving,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        fixed_labels=labels and labels[0],
        moving_labels=labels and labels[1],
        evaluation_landmarks=evaluation_landmarks,
        guide_landmarks=guide_landmarks,
        initial_transform=initial_transform,
        fixed_channels=tuple(fixed_channel or ()),
        moving_channels=tuple(moving_channel or ()),
        channel_weights=None
        if channel_weights is None
        else options.numbers(channel_weights, "--channel-weights"),
        series=tuple(series or ()),
    )
    register_paths(
        paths,
        output,
        settings=chosen,
        results=written,
        warm_start=warm_start,
        model=model,
        refine_steps=refine_steps,
        refine=refined,
        device=device,
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_interval=checkpoint_interval,
    )


def register_paths(paths: PairPaths, output: Path, **how: Any) -> None:
    """Register the files of a pair into a folder, and report progress and results.

    Parameters
    ----------
    paths : PairPaths
        The files.
    output : Path
        The folder.
    **how
        Arguments of :func:`itk_nephi.workflows.register_files`.
    """
    given = (how.get("warm_start"), how.get("model"), *paths.files.values())
    files = [path for path in given if path is not None]
    names = outputs.files(how.get("results", outputs.RESULTS))
    checkpoint = how.get("checkpoint")
    if checkpoint and checkpoint.resolve() in {(output / name).resolve() for name in names}:
        raise ValueError(f"expected --checkpoint to be none of the results, got {checkpoint}")
    with staged(output, "--output", names, files) as stage, Pulse("starting") as pulse:
        from itk_nephi.workflows.file_registration import register_files

        metrics = register_files(
            paths,
            stage,
            argument=_argument,
            stage=pulse.begin,
            progress=partial(shown_progress, pulse),
            interrupted=report_interruption,
            **how,
        )
    if checkpoint and not metrics["interrupted"]:
        checkpoint.unlink(missing_ok=True)
    typer.echo(outputs.format_summary(metrics, output))
    if metrics["interrupted"]:
        raise typer.Exit(130)


def _argument(name: str) -> str:
    """Return what the command line calls a file of a pair."""
    if name in ("fixed", "moving"):
        return name.upper()
    if name.endswith("_labels"):
        return f"--labels {name.removesuffix('_labels').upper()}"
    space, channel, number = name.partition("_channel_")
    return f"--{space}-channel {number}" if channel else f"--{name.replace('_', '-')}"
