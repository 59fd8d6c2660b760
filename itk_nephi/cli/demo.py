"""``itk-nephi demo``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from itk_nephi.cli import options
from itk_nephi.cli.interrupts import kept_if_interrupted
from itk_nephi.cli.messages import report
from itk_nephi.cli.progress import Pulse
from itk_nephi.cli.register import register_paths
from itk_nephi.io.pair_files import write_pair
from itk_nephi.io.staging import staged
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.workflows import outputs


@options.of_settings(RegistrationSettings, only=["steps"])
def demo(
    output: options.Folder,
    device: options.Device = "cpu",
    seed: Annotated[int, typer.Option(help="Draws the images.", min=0)] = 0,
    *,
    changes: dict[str, Any],
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels of the fixed image.")] = (
        96,
        80,
        72,
    ),
) -> None:
    """Draw a chest whose breathing is known, register it, and report the landmark error.

    Before that, predict a pair of shapes with the model that comes with this package.
    """
    if not (output / "prediction.png").exists() and output.is_dir() and any(output.iterdir()):
        raise ValueError(
            f"expected --output to be new, empty, or what an earlier demo wrote, got {output} with "
            "other files"
        )
    files = outputs.files(outputs.RESULTS)
    with (
        staged(output, "--output", files) as stage,
        Pulse("predicting a pair of shapes"),
    ):
        from itk_nephi.phantoms.pairs import lung
        from itk_nephi.workflows.demonstration import show_prediction

        typer.echo(show_prediction(stage / "prediction.png", seed))
        written = write_pair(lung(3, size=size, seed=seed).pair, stage)
    final: dict[str, Any] = {name: output / path.name for name, path in written.files.items()}
    paths = replace(written, **final)
    report(f"wrote a synthetic chest, breathed out (fixed) and in (moving), to {output}")
    settings = options.registration_settings(None, None, None, changes)
    with kept_if_interrupted(f"the images are in {output}"):
        register_paths(paths, output, settings=settings, device=device, seed=seed)
