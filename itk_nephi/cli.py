"""The `itk-nephi` command: each subcommand calls functions of this package.

torch and matplotlib are imported by the commands that need them, so that the others start at once
and work where torch is not installed.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from typer.core import TyperGroup

from itk_nephi import (
    batch_command,
    compare_command,
    files,
    options,
    results,
    training_command,
    transform_commands,
)
from itk_nephi.case import Case, landmark_columns
from itk_nephi.description import describe
from itk_nephi.progress import shown_progress
from itk_nephi.resampling import resample
from itk_nephi.table import TableError
from itk_nephi.transform_commands import File

ERRORS = (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError)
"""What input can cause, shown as one sentence; anything else is a defect and shows a traceback."""


class _Commands(TyperGroup):
    """Ends a failed command with one sentence and exit status 2, an interrupted one with 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            typer.echo("itk-nephi: interrupted, nothing written", err=True)
            raise typer.Exit(130) from None
        except ERRORS as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            words = str(error) if isinstance(error, TableError) else files.plain_words(error)
            typer.echo(f"itk-nephi: error: {words}", err=True)
            raise typer.Exit(2) from None


class Refine(StrEnum):
    """What the steps after a prediction change."""

    code = "code"
    code_and_weights = "code_and_weights"


class Interpolation(StrEnum):
    """How values between voxels are found."""

    linear = "linear"
    nearest = "nearest"
    bspline = "bspline"


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Register images with neural deformation fields (NePhi); the results are ITK transforms.",
)


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and every log line.")
    ] = False,
) -> None:
    logging.basicConfig(format="itk-nephi: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("itk_nephi").setLevel(logging.DEBUG if debug else logging.WARNING)
    warnings.formatwarning = lambda message, *_, **__: f"itk-nephi: warning: {message}\n"


@app.command()
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
    similarity: options.Similarity = None,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    preset: options.PresetOption = options.Preset.default,
    steps: options.Steps = None,
    points: options.Points = None,
    gradicon_weight: options.GradiconWeight = None,
    smoothing_sigmas: options.SmoothingSigmas = None,
    working_voxels: options.WorkingVoxels = None,
    elastix_parameters: options.ElastixParameters = None,
    early_stop: options.EarlyStop = False,
    max_time: options.MaxTime = None,
    memory_limit: options.MemoryLimit = None,
    checkpoint: options.CheckpointFile = None,
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
    with files.staged(output, "--output") as stage:
        from itk_nephi import registration
        from itk_nephi.initial import KINDS

        if model is not None and steps is not None:
            raise ValueError("expected --refine-steps with --model, got --steps")
        settings = options.registration_settings(
            preset,
            similarity=similarity,
            steps=steps,
            points=points,
            gradicon_weight=gradicon_weight,
            smoothing_sigmas=smoothing_sigmas,
            working_voxels=working_voxels,
            elastix_parameters=elastix_parameters,
            early_stop=early_stop,
            max_time=max_time,
            memory_limit=memory_limit,
        )
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
            result = registration.register(
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
                settings=settings,
                device=device,
                seed=seed,
                callback=callback,
                checkpoint=checkpoint,
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
        metrics = results.write(
            stage, case, result, seconds=seconds, device=device, initial_transform=initial_transform
        )
    typer.echo(results.format_summary(metrics, output))
    if result.interrupted:
        raise typer.Exit(130)


@app.command()
def transform_image(
    moving: Annotated[Path, typer.Argument(metavar="MOVING", help="Image to resample.")],
    transforms: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRANSFORM...",
            help="Transform files; a point of the reference goes through them in this order.",
        ),
    ],
    reference: Annotated[Path, typer.Option(help="Image that gives the output grid.")],
    output: File,
    interpolation: Annotated[
        Interpolation, typer.Option(help="nearest for labels.")
    ] = Interpolation.linear,
    outside: Annotated[float, typer.Option(help="Value outside the moving image.")] = 0.0,
) -> None:
    """Resample an image onto the grid of another, through one or more transforms.

    For the results of `register` that is fixed_to_moving.h5, with the fixed
    image as reference. The pixel type stays that of the moving image.
    """
    with files.staged(output.parent, "--output") as stage:
        image = files.read_image(moving, "MOVING")
        grid = files.read_image(reference, "--reference")
        dimension = image.GetImageDimension()
        chain = [files.read_transform(path, "TRANSFORM", dimension) for path in transforms]
        if grid.GetImageDimension() != dimension:
            raise ValueError(
                f"expected --reference in {dimension} dimensions like MOVING, "
                f"got {grid.GetImageDimension()}"
            )
        resampled = resample(image, chain, grid, interpolation=interpolation, outside=outside)
        files.write_image(resampled, stage / output.name)
    typer.echo(f"wrote {output}", err=True)


for command in (
    transform_commands.transform_points,
    transform_commands.transform_mesh,
    transform_commands.convert,
    transform_commands.invert,
    transform_commands.jacobian,
    batch_command.batch,
    training_command.train,
    compare_command.compare,
):
    app.command()(command)


@app.command()
def info(file: Annotated[Path, typer.Argument(metavar="FILE", help="Transform or image.")]) -> None:
    """Describe a transform file or an image file."""
    typer.echo(describe(file))


@app.command()
def demo(
    output: options.Folder,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    steps: options.Steps = None,
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels of the fixed image.")] = (
        96,
        80,
        72,
    ),
) -> None:
    """Draw a chest whose breathing is known, register it, and tell the landmark error.

    Before that, predict a pair of shapes with the model that comes with this package.
    """
    with files.staged(output, "--output") as stage:
        from itk_nephi.demonstration import show_prediction
        from itk_nephi.phantom import lung

        typer.echo(show_prediction(stage / "prediction.png", seed))
        phantom = lung(3, size=size, seed=seed)
        names = ("fixed", "moving", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels")
        paths = {name: output / f"{name}.nii.gz" for name in names}
        for name, path in paths.items():
            files.write_image(getattr(phantom, name), stage / path.name)
        pairs = np.concatenate([phantom.fixed_landmarks, phantom.moving_landmarks], axis=1)
        header = ",".join(landmark_columns(3))
        np.savetxt(
            stage / "landmarks.csv", pairs, delimiter=",", fmt="%.6f", header=header, comments=""
        )
    typer.echo(
        f"wrote a synthetic chest, breathed out (fixed) and in (moving), to {output}", err=True
    )
    register(
        paths["fixed"],
        paths["moving"],
        output,
        fixed_mask=paths["fixed_mask"],
        moving_mask=paths["moving_mask"],
        evaluation_landmarks=output / "landmarks.csv",
        labels=(paths["fixed_labels"], paths["moving_labels"]),
        device=device,
        seed=seed,
        steps=steps,
    )


def main() -> None:
    """Run the command line."""
    # torch's threads would otherwise wait for each other in busy loops, which costs a quiet machine
    # nothing and a busy one, where a thread waits for its turn, most of the time
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    app(prog_name="itk-nephi")


def _initial_transform(name: str, dimension: int) -> Any:
    path = Path(name)
    if not path.exists():
        raise ValueError(
            "expected --initial-transform to be identity, geometry, moments, affine or a transform "
            f"file, got {name}, which does not exist"
        )
    return files.read_transform(path, "--initial-transform", dimension)
