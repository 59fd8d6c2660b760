"""register_series_files(): images over time from their files to the files of their registration."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.images import read_image
from itk_nephi.io.transforms import read_initial_transform, write_transforms
from itk_nephi.registration import series as registration_series
from itk_nephi.registration.result import Series
from itk_nephi.spatial.resampling import resample
from itk_nephi.workflows.configuration import described_settings
from itk_nephi.workflows.provenance import find_versions, sha256, written_name


def files(times: Sequence[float], at: Sequence[float] = ()) -> list[str]:
    """Return the names of the files: transforms at all times, the images at those they have."""
    names = [
        f"{name}_{in_digits(time)}.h5"
        for time in sorted({*times, *at})
        for name in ("fixed_to_moving", "moving_to_fixed")
    ]
    warped = [f"warped_{in_digits(time)}.nii.gz" for time in times]
    return [*names, *warped, "metrics.json"]


def in_digits(time: float) -> str:
    """Return a time with as many digits as it takes to differ from all others, no exponent."""
    return np.format_float_positional(time, trim="-")


def register_series_files(
    fixed: Path,
    images: Sequence[Path],
    folder: Path,
    *,
    times: Sequence[float],
    at: Sequence[float] = (),
    fixed_mask: Path | None = None,
    masks: Sequence[Path] = (),
    initial_transform: str = "identity",
    device: str = "cpu",
    stage: Callable[[str], None] = lambda _: None,
    interrupted: Callable[[int], None] = lambda _: None,
    **options: Any,
) -> Series:
    """Read images over time, register them, and write the results into a folder.

    Parameters
    ----------
    fixed : Path
        The image that is deformed.
    images : sequence of Path
        Those at the times.
    folder : Path
        An existing folder, which gets the :func:`files`, with the time in their names.
    times : sequence of float
        When the images were taken, rising.
    at : sequence of float
        Further times whose transforms are written.
    fixed_mask : Path, optional
        Of the fixed image.
    masks : sequence of Path
        Of the images, as many as these, or none.
    initial_transform : str
        A kind or a file, see :func:`itk_nephi.register_series`.
    device : str
        What torch calls it.
    stage : callable
        Called with what is done next, in words.
    interrupted : callable
        As for :func:`itk_nephi.workflows.register_files`.
    **options
        Further arguments of :func:`itk_nephi.register_series`.

    Returns
    -------
    Series
        The result.

    Raises
    ------
    ValueError
        If a file, or a time, is not what it should be.
    """
    knots = options.get("knots") or times
    for time in at:
        if not knots[0] <= time <= knots[-1]:
            raise ValueError(
                f"expected further times from {in_digits(knots[0])} to {in_digits(knots[-1])}, "
                f"got {in_digits(time)}"
            )
    stage("reading the images")
    fixed_image = read_image(fixed, "FIXED")
    moving = [read_image(path, "MOVING") for path in images]
    inside = None if fixed_mask is None else read_image(fixed_mask, "--fixed-mask")
    of_images = [read_image(path, "--mask") for path in masks] or None
    inputs = [fixed, *images, *masks, *([fixed_mask] if fixed_mask else [])]
    checksums = {written_name(path): sha256(path) for path in inputs}
    dimension = int(fixed_image.GetImageDimension())
    found = registration_series.register_series(
        fixed_image,
        moving,
        times,
        fixed_mask=inside,
        masks=of_images,
        initial_transform=read_initial_transform(
            initial_transform, "--initial-transform", dimension
        ),
        device=device,
        **options,
    )
    if found.interrupted:
        interrupted(len(found.history))
    stage("writing the results")
    for time in sorted({*times, *at}):
        registration = found.at(time)
        write_transforms(
            folder,
            {
                f"fixed_to_moving_{in_digits(time)}.h5": registration.fixed_to_moving,
                f"moving_to_fixed_{in_digits(time)}.h5": registration.moving_to_fixed,
            },
        )
    for time, image in zip(times, moving, strict=True):
        warped = resample(image, [found.at(time).fixed_to_moving], fixed_image)
        write_image(warped, folder / f"warped_{in_digits(time)}.nii.gz")
    record = {
        "times": list(times),
        "knots": list(found.knots),
        "interrupted": found.interrupted,
        "steps": len(found.history),
        "seed": found.seed,
        "device": device,
        "initial_transform": written_name(Path(initial_transform)),
        "sha256": checksums,
        "settings": described_settings(found.settings),
        "versions": find_versions(),
    }
    text = json.dumps(record, indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return found
