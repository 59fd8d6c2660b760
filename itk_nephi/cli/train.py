"""``itk-nephi train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from itk_nephi.cli import options
from itk_nephi.cli.messages import report
from itk_nephi.cli.progress import Pulse, shown_training
from itk_nephi.fields.settings import change_settings
from itk_nephi.training.settings import TrainingSettings


@options.of_settings(TrainingSettings)
def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            help="TOML file; see configs/ for examples. Single options change its training.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the model.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="What the paths in CONFIG are relative to (default its own folder).",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the folder's checkpoint.")
    ] = False,
    device: options.Device = "cpu",
    *,
    changes: dict[str, Any],
) -> None:
    """Train a model that predicts the deformation of image pairs.

    Files: best.safetensors and last.safetensors, models for
    `register --model`; checkpoint.pt, to resume from; and what TensorBoard
    shows. Ctrl-C finishes the step and leaves a checkpoint.
    """
    with Pulse("starting") as pulse:
        from itk_nephi.training import training
        from itk_nephi.training.config import TrainingConfig

        pulse.change("reading the pairs")
        wanted = TrainingConfig.read(config, data)
        with shown_training(pulse) as callback:
            stopped = training.train(
                wanted.pairs,
                wanted.validation,
                wanted.model,
                change_settings(wanted.training, changes),
                output,
                augmentation=wanted.augmentation,
                resume=resume,
                device=device,
                callback=callback,
            )
    if stopped:
        typer.echo(f"itk-nephi: interrupted; --resume continues from {output}", err=True)
        raise typer.Exit(130)
    report(f"wrote {output / training.BEST}")
