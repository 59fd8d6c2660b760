"""``itk-nephi register``."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from itk_nephi.cli import options
from itk_nephi.cli.progress import shown_progress
from itk_nephi.io.pair_files import Case
from itk_nephi.io.staging import staged
from itk_nephi.io.transforms import read_transform
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.workflows import outputs


class Refine(StrEnum):
    """What the steps after a prediction change."""

    code = "code"
    code_and_weights = "code_and_weights"


@options.of_settings(RegistrationSettings)
def register(
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
            help="Image on the fixed grid, not zero where to compare; float values below 1 say how "
            "much a place counts."
        ),
    ] = None,
    moving_mask: Annotated[Path | None, typer.Option(help="The same on the moving grid.")] = None,
    fixed_channel: Annotated[
        list[Path] | None,
        typer.Option(help="Another image of the same subject on the fixed grid; repeat for more."),
    ] = None,
    moving_channel: Annotated[
        list[Path] | None,
        typer.Option(help="Its counterpart on the moving grid, in the same order."),
    ] = None,
    channel_weights: Annotated[
        str | None,
        typer.Option(
            help="How much MOVING and each --moving-channel count (default all the same).",
            metavar="W,W,...",
        ),
    ] = None,
    guide_landmarks: Annotated[
        Path | None,
        typer.Option(
            help="CSV of landmark pairs to bring together, columns as for --evaluation-landmarks: "
            "these steer the registration, and say nothing of its quality."
        ),
    ] = None,
    initial_transform: Annotated[
        str,
        typer.Option(help="identity, geometry, moments, affine, or a file with any ITK transform."),
    ] = "affine",
    evaluation_landmarks: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns fixed_x, fixed_y, fixed_z, moving_x, ... in mm, only to judge "
            "the result."
        ),
    ] = None,
    labels: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Label images of fixed and moving, only to judge the result.",
            metavar="FIXED MOVING",
        ),
    ] = None,
    *,
    preset: options.PresetOption = None,
    settings: options.SettingsFile = None,
    elastix_parameters: options.ElastixParameters = None,
    changes: dict[str, Any],
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    checkpoint: options.CheckpointFile = None,
    checkpoint_interval: options.CheckpointInterval = 30.0,
    warm_start: options.WarmStart = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Model file that predicts the deformation, instead of finding it."),
    ] = None,
    refine_steps: Annotated[
        int, typer.Option(help="Optimizer steps after the prediction of --model.")
    ] = 0,
    refine: Annotated[
        Refine,
        typer.Option(help="What they change: the latent code, or code and weights of the fields."),
    ] = Refine.code,
) -> None:
    """Register two images, and write the transforms, the warped image, metrics and a picture.

    Files: fixed_to_moving.h5, moving_to_fixed.h5, warped.nii.gz (linear,
    0 outside the moving image), jacobian_determinant.nii.gz, metrics.json,
    overview.png, report.html. Ctrl-C keeps what was reached so far.
    """
    start = time.perf_counter()
    with staged(output, "--output") as stage:
        from itk_nephi.registration import pairwise
        from itk_nephi.spatial.initialization import KINDS

        if model is not None and "steps" in changes:
            raise ValueError("expected --refine-steps with --model, got --steps")
        chosen = options.registration_settings(preset, settings, elastix_parameters, changes)
        case = Case.read(
            fixed,
            moving,
            fixed_mask,
            moving_mask,
            evaluation_landmarks,
            labels,
            fixed_channels=fixed_channel or [],
            moving_channels=moving_channel or [],
            guide_landmarks=guide_landmarks,
        )
        if warm_start is not None:
            case.paths["warm_start"] = str(warm_start)
        weights = channel_weights and options.numbers(channel_weights, "--channel-weights")
        kind = (
            initial_transform
            if initial_transform in KINDS
            else _initial_transform(initial_transform, case.dimension)
        )
        seconds = {"read": time.perf_counter() - start}
        with shown_progress() as callback:
            result = pairwise.register(
                [case.fixed, *case.fixed_channels],
                [case.moving, *case.moving_channels],
                fixed_mask=case.fixed_mask,
                moving_mask=case.moving_mask,
                channel_weights=weights or None,
                guide_landmarks=case.guide_landmarks,
                initial_transform=kind,
                warm_start=warm_start and options.warm_start_transform(warm_start, case.dimension),
                model=model,
                refine_steps=refine_steps,
                refine=refine.value,
                settings=chosen,
                device=device,
                seed=seed,
                callback=callback,
                checkpoint=checkpoint,
                checkpoint_interval=checkpoint_interval,
            )
        seconds["register"] = time.perf_counter() - start - seconds["read"]
        if result.interrupted:
            typer.echo(
                f"itk-nephi: interrupted after step {len(result.history)}: writing what was "
                "reached so far (Ctrl-C again writes nothing)",
                err=True,
            )
        if model is not None:
            case.paths["model"] = str(model)
        metrics = outputs.write(
            stage, case, result, seconds=seconds, device=device, initial_transform=initial_transform
        )
    typer.echo(outputs.format_summary(metrics, output))
    if result.interrupted:
        raise typer.Exit(130)


def _initial_transform(name: str, dimension: int) -> Any:
    path = Path(name)
    if not path.exists():
        raise ValueError(
            "expected --initial-transform to be identity, geometry, moments, affine or a transform "
            f"file, got {name}, which does not exist"
        )
    return read_transform(path, "--initial-transform", dimension)
