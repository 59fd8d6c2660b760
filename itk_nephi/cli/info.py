"""``itk-nephi info``: a transform file or an image file, described."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from itk_nephi.io.errors import plain_errors
from itk_nephi.io.images import read_image_header
from itk_nephi.io.transforms import TRANSFORM_SUFFIXES, read_transform
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array
from itk_nephi.spatial.transforms import flatten, is_neural


def info(file: Annotated[Path, typer.Argument(metavar="FILE", help="Transform or image.")]) -> None:
    """Describe a transform file or an image file."""
    typer.echo(describe(file))


def describe(path: Path) -> str:
    """Describe a transform file or an image file in a few lines.

    Raises
    ------
    ValueError
        If ITK can read it as neither.
    """
    if not path.name.lower().endswith(TRANSFORM_SUFFIXES):
        return _described_image(path)
    try:
        transform = read_transform(path, "FILE")
    except ValueError:
        if not path.name.lower().endswith((".h5", ".hdf5", ".hdf")) or not path.is_file():
            raise
        try:
            return _described_image(path)
        except ValueError:
            pass
        raise
    return _described_transform(path, transform)


def _described_image(path: Path) -> str:
    header = read_image_header(path, "FILE")
    values = None
    if header.components == 1:
        with plain_errors(f"expected FILE to be an image that ITK can read, got {path}"):
            values = itk.asarray(itk.imread(str(path)))
    lines = [
        f"image            {path}, {_bytes(path)}",
        f"size             {' x '.join(map(str, header.size))} voxels",
        f"spacing          {_numbers(header.spacing)} mm",
        f"origin           {_numbers(header.origin)} mm",
        f"direction        {_axes(header.direction)}",
        f"pixel type       {header.pixel} of {header.component}, {header.components} a voxel",
    ]
    if values is not None:
        lines.append(f"range            {values.min():g} to {values.max():g}")
    return "\n".join(lines)


def _described_transform(path: Path, transform: Any) -> str:
    parts = flatten(transform)
    dimensions = f"{transform.GetInputSpaceDimension()}D to {transform.GetOutputSpaceDimension()}D"
    count = f"{len(parts)} part" + ("s" if len(parts) != 1 else "")
    lines = [
        f"transform        {path}, {_bytes(path)}",
        f"maps points      in mm, {dimensions}, through {count} in this order:",
    ]
    for number, part in enumerate(parts, start=1):
        linear = ", linear" if part.IsLinear() else ""
        lines.append(
            f"{number}. {part.GetNameOfClass()}, "
            f"{part.GetNumberOfParameters():,} parameters{linear}"
        )
        if is_neural(part):
            lines += [f"   {line}" for line in _described_field(part)]
    return "\n".join(lines)


def _described_field(transform: Any) -> list[str]:
    dimension = transform.GetInputSpaceDimension()
    numbers = np.array(transform.GetFixedParameters())
    version, width, depth, frequencies, global_code, channels = (int(n) for n in numbers[:6])
    ends = 6 + np.cumsum([dimension, dimension, dimension, dimension, dimension**2])
    grid, size, spacing, origin, direction = np.split(numbers[6 : ends[-1]], ends[:-1] - 6)
    direction = direction.reshape(dimension, dimension)
    splines = numbers[ends[-1] + 2 * dimension * frequencies :].reshape(-1, dimension)
    ends_of_edges = np.array(list(product((0.0, 1.0), repeat=dimension)))
    corners = origin + ends_of_edges * (size - 1) * spacing @ direction.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    return [
        f"format version {version}",
        f"field: width {width}, depth {depth}, {frequencies} frequencies",
        f"latent code: {global_code} global, {channels} channels on a grid of {_sizes(grid)}",
        *(f"B-spline: {_sizes(cells)} cells" for cells in splines),
        f"domain: {_sizes(size)} voxels of {_numbers(spacing)} mm, origin {_numbers(origin)} mm",
        f"domain: direction {_axes(direction.T)}",
        f"domain: from {_numbers(low)} to {_numbers(high)} mm; "
        "beyond it the displacement of its boundary",
    ]


def _axes(axes: npt.ArrayLike) -> str:
    """Describe unit vectors, a row per axis of a grid."""
    named = zip("ijk", np.asarray(axes, dtype=float), strict=False)
    return "; ".join(f"{name}: {_numbers(axis)}" for name, axis in named)


def _sizes(values: Array) -> str:
    return " x ".join(str(int(value)) for value in values)


def _numbers(values: npt.ArrayLike) -> str:
    return ", ".join(f"{value + 0.0:.6g}" for value in np.asarray(values, dtype=float))


def _bytes(path: Path) -> str:
    return f"{path.stat().st_size:,} bytes"
