"""``itk-nephi align``: a linear alignment alone."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from itk_nephi.cli import options
from itk_nephi.cli.messages import report
from itk_nephi.io.images import read_image
from itk_nephi.io.staging import staged_file
from itk_nephi.io.transforms import read_transform, require_transform_suffix, write_transform


class DegreesOfFreedom(StrEnum):
    """What an alignment may change."""

    translation = "translation"
    rigid = "rigid"
    similarity = "similarity"
    affine = "affine"


def align(
    fixed: Annotated[Path, typer.Argument(metavar="FIXED", help="Image whose points are mapped.")],
    moving: Annotated[
        Path, typer.Argument(metavar="MOVING", help="Image that the mapped points lie in.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Transform file to write, such as start.h5.")
    ],
    fixed_mask: Annotated[
        Path | None,
        typer.Option(
            help="Image on the fixed grid, non-zero inside; values in [0, 1] are weights."
        ),
    ] = None,
    moving_mask: Annotated[Path | None, typer.Option(help="The same on the moving grid.")] = None,
    degrees_of_freedom: Annotated[
        DegreesOfFreedom, typer.Option(help="What may change; affine is everything linear.")
    ] = DegreesOfFreedom.affine,
    initial_transform: Annotated[
        Path | None, typer.Option(help="File with a linear transform, tried besides the search.")
    ] = None,
    series: options.Series = None,
) -> None:
    """Align two images linearly, wherever they lie and however they are turned.

    The transform maps points of the fixed image to the moving image, like
    fixed_to_moving.h5 of `register`, which takes it as --initial-transform.
    """
    from itk_nephi.alignment.alignment import align as align_images

    require_transform_suffix(output)
    given = (fixed, moving, fixed_mask, moving_mask, initial_transform)
    inputs = [path for path in given if path is not None]
    with staged_file(output, "--output", inputs) as target:
        read = partial(read_image, series=series or ())
        images = [read(fixed, "FIXED"), read(moving, "MOVING")]
        dimension = images[0].GetImageDimension()
        found = align_images(
            *images,
            degrees_of_freedom=degrees_of_freedom.value,
            fixed_mask=None if fixed_mask is None else read(fixed_mask, "--fixed-mask"),
            moving_mask=None if moving_mask is None else read(moving_mask, "--moving-mask"),
            initial_transform=None
            if initial_transform is None
            else read_transform(initial_transform, "--initial-transform", dimension),
        )
        write_transform(found.transform, target)
    typer.echo(
        f"aligned: {found.similarity:.0%} of the variance explained, the next best alignment "
        f"{found.margin:.0%} behind, volume ratio {found.volume_change:.3f}"
    )
    report(f"wrote {output}")
