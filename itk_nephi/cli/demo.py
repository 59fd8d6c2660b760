"""``itk-nephi demo``."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from itk_nephi.cli import options
from itk_nephi.cli.register import register
from itk_nephi.io.images import write_image
from itk_nephi.io.pair_files import landmark_columns
from itk_nephi.io.staging import staged
from itk_nephi.registration.settings import RegistrationSettings


@options.of_settings(RegistrationSettings, only=["steps"])
def demo(
    output: options.Folder,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    *,
    changes: dict[str, Any],
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels of the fixed image.")] = (
        96,
        80,
        72,
    ),
) -> None:
    """Draw a chest whose breathing is known, register it, and tell the landmark error.

    Before that, predict a pair of shapes with the model that comes with this package.
    """
    with staged(output, "--output") as stage:
        from itk_nephi.phantoms.pairs import lung
        from itk_nephi.workflows.demonstration import show_prediction

        typer.echo(show_prediction(stage / "prediction.png", seed))
        phantom = lung(3, size=size, seed=seed)
        names = ("fixed", "moving", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels")
        paths = {name: output / f"{name}.nii.gz" for name in names}
        for name, path in paths.items():
            write_image(getattr(phantom, name), stage / path.name)
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
        **changes,
    )
