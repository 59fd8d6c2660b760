"""The commands that apply, convert and invert transforms."""

from __future__ import annotations

import math
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from itk_nephi.cli import options
from itk_nephi.cli.messages import report
from itk_nephi.evaluation import metrics
from itk_nephi.evaluation.statistics import percentage
from itk_nephi.io.image_writing import require_format, small_image, write_image
from itk_nephi.io.images import read_grid, read_voxels
from itk_nephi.io.markups import Markups
from itk_nephi.io.meshes import move_mesh, read_mesh, write_mesh
from itk_nephi.io.pair_files import landmark_columns
from itk_nephi.io.staging import staged_file
from itk_nephi.io.tables import Table
from itk_nephi.io.transforms import (
    TRANSFORM_SUFFIXES,
    read_transform,
    require_transform_suffix,
    write_transform,
)
from itk_nephi.io.voxels import image_from_voxels
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial import transforms
from itk_nephi.spatial.conversion import (
    displacement_field_transform,
    inverse_displacement_field,
    to_bspline_transform,
    to_displacement_field,
)
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.inversion import InvertedPoints, inverse_parts, invert_points
from itk_nephi.spatial.resampling import resample_frames
from itk_nephi.spatial.transforms import compose

SPACES = {
    "fixed_to_moving": ("fixed space", "moving space"),
    "moving_to_fixed": ("moving space", "fixed space"),
}
"""The spaces that our own files map between, by their names."""

TOLERANCE = 0.5
"""Largest error of a B-spline where the user names none, in smallest distances of voxels."""


class Columns(StrEnum):
    """Which columns of a file of landmarks."""

    fixed = "fixed"
    moving = "moving"


class Interpolation(StrEnum):
    """How values between voxels are interpolated."""

    linear = "linear"
    nearest = "nearest"
    bspline = "bspline"


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
    series: options.Series = None,
) -> None:
    """Resample an image onto the grid of another, through one or more transforms.

    For the results of `register` that is fixed_to_moving.h5, with the fixed
    image as reference. The pixel type stays that of the moving image; colors
    and vectors are resampled component by component, a series in 4
    dimensions frame by frame.
    """
    with staged_file(output, "--output", [moving, reference, *transforms]) as target:
        header, voxels = read_voxels(moving, "MOVING", series or ())
        grid = read_grid(reference, "--reference", series or ())
        dimension = header.domain.dimension
        chain = [read_transform(path, "TRANSFORM", dimension) for path in transforms]
        if grid.GetImageDimension() != dimension:
            raise ValueError(
                f"expected --reference in {dimension} dimensions like MOVING, "
                f"got {grid.GetImageDimension()}"
            )
        domain = ImageDomain.of(grid)
        require_format(image_from_voxels(voxels[:, :2, :2], header, domain), target)
        resampled = resample_frames(
            voxels,
            header.domain,
            compose(chain),
            grid,
            interpolation=interpolation,
            outside=outside,
        )
        write_image(image_from_voxels(resampled, header, domain), target)
    report(f"wrote {output}")


class Kind(StrEnum):
    """What to convert a transform to."""

    displacement_field = "displacement-field"
    displacement_field_transform = "displacement-field-transform"
    b_spline = "b-spline"


Transform = Annotated[Path, typer.Argument(metavar="TRANSFORM", help="Transform file.")]

File = Annotated[Path, typer.Option("-o", "--output", help="File to write.")]


def transform_points(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="CSV",
            help="Columns x, y (and z), in mm; landmarks, fixed_x, ...; or 3D Slicer's .fcsv or "
            ".mrk.json.",
        ),
    ],
    transform: Transform,
    output: File,
    exact_inverse: Annotated[
        bool,
        typer.Option("--exact-inverse", help="Compute the points that TRANSFORM maps to these."),
    ] = False,
    columns: Annotated[
        Columns | None,
        typer.Option(help="Which columns of landmarks to map (default: what TRANSFORM is named)."),
    ] = None,
) -> None:
    """Map the points of a CSV file through a transform.

    Points are physical, in mm, as in ITK: x to the patient's left, y to the
    back, z to the head; files of 3D Slicer are read and written in the
    coordinate system that they name. All else is kept, but for what 3D Slicer
    measured at the former points. A transform that resamples moving images
    maps fixed points to moving points; to map points the other way take
    moving_to_fixed.h5, or --exact-inverse.
    """
    with staged_file(output, "--output", [table, transform]) as target:
        mapping = read_transform(transform, "TRANSFORM")
        dimension = mapping.GetInputSpaceDimension()
        if table.suffix.lower() == ".json":
            markups = Markups.read(table, "CSV")
            given, write = markups.points, markups.write
        else:
            points = Table.read(table, "CSV")
            names = _point_columns(points, dimension, columns, transform, inverse=exact_inverse)
            given, write = points.points(names), partial(points.write, columns=names)
        if output.suffix.lower() != (suffix := table.suffix).lower():
            raise ValueError(f"expected --output in the format of CSV, {suffix}, got {output}")
        if exact_inverse:
            inverted = invert_points(mapping, given)
            moved = inverted.points
            report(_exactness(inverted))
        else:
            moved = transforms.transform_points(mapping, given)
        write(target, points=moved)
    spaces = _spaces(transform, inverse=exact_inverse)
    report(f"mapped {len(moved)} points from {spaces}: {output}")


def transform_mesh(
    mesh: Annotated[
        Path, typer.Argument(metavar="MESH", help="VTK, OBJ, OFF, PLY, STL, GIFTI or BYU file.")
    ],
    transform: Transform,
    output: File,
) -> None:
    """Map the points of a mesh through a transform; all else in the file is kept.

    Points are physical, in mm, as in ITK (LPS): x to the patient's left, y to
    the back, z to the head; a file with SPACE=RAS, as 3D Slicer writes
    it, is read and written as that, and so is GIFTI, but where its data space
    is empty, as ITK writes it. Normals and other vectors are left out. A
    transform that resamples moving images maps fixed points to moving points;
    to map a mesh the other way take moving_to_fixed.h5.
    """
    with staged_file(output, "--output", [mesh, transform]) as target:
        mapping = read_transform(transform, "TRANSFORM")
        moved = move_mesh(read_mesh(mesh, "MESH"), mapping)
        write_mesh(moved, target)
    count = len(moved.points)
    report(f"mapped {count} points from {_spaces(transform)}: {output}")


def convert(
    transform: Transform,
    output: File,
    reference: Annotated[
        Path, typer.Option(help="Image whose grid to sample, in the space TRANSFORM maps from.")
    ],
    to: Annotated[
        Kind | None,
        typer.Option(help="What to write (default: what the suffix of OUTPUT can hold)."),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Largest distance of B-spline control points, mm.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help=f"Refine the B-spline to this largest error, mm (default {TOLERANCE:g} voxels).",
            show_default=False,
        ),
    ] = None,
    series: options.Series = None,
) -> None:
    """Write a transform as a displacement field or a B-spline, for other programs.

    Image suffixes (.nii.gz, .nrrd, .mha) hold a displacement field: mm, ITK's
    axes (LPS). Transform suffixes (.h5, .tfm) hold a displacement field
    transform or, with --to b-spline, a B-spline transform. Neither moves
    points outside the reference image.
    """
    with staged_file(output, "--output", [transform, reference]) as target:
        is_transform = output.name.lower().endswith(TRANSFORM_SUFFIXES)
        if to is None:
            to = Kind.displacement_field_transform if is_transform else Kind.displacement_field
        if to != Kind.b_spline and (spacing, tolerance) != (None, None):
            raise ValueError(f"expected --to b-spline with --spacing or --tolerance, got {to}")
        mapping, grid = _read_both(transform, reference, series)
        _require_format(target, grid, is_field=to == Kind.displacement_field)
        note = f"sampled at {math.prod(ImageDomain.of(grid).size):,} voxels"
        if to == Kind.b_spline:
            if spacing is None and tolerance is None:
                tolerance = TOLERANCE * min(grid.GetSpacing())
            how = {"spacing": spacing, "tolerance": tolerance}
            fitted, error = to_bspline_transform(mapping, grid, **how)
            write_transform(fitted, target)
            points = [int(cells) + 3 for cells in fitted.GetTransformDomainMeshSize()]
            note = (
                f"B-spline of {' x '.join(map(str, points))} control points, "
                f"largest error {error:.2g} mm at the voxels of {reference}"
            )
        elif to == Kind.displacement_field:
            write_image(to_displacement_field(mapping, grid), target, keeps_grid=True)
        else:
            field = to_displacement_field(mapping, grid)
            write_transform(displacement_field_transform(field), target)
    report(f"{note}; maps from {_spaces(transform)}: {output}")


def invert(
    transform: Transform,
    output: File,
    exact: Annotated[
        bool, typer.Option("--exact", help="Invert at every voxel of --reference.")
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(help="Image whose grid to sample, in the space TRANSFORM maps to."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Largest residual of --exact, mm (default a thousandth of a voxel).",
            show_default=False,
        ),
    ] = None,
    series: options.Series = None,
) -> None:
    """Write the inverse of a transform.

    Without --exact, that of each of its parts in reverse order; the inverse
    of a neural field is approximate. With --exact, a displacement field
    (transform, or image if OUTPUT has the suffix of one) on the grid of the
    reference; it moves no points outside.
    """
    inputs = [transform] if reference is None else [transform, reference]
    with staged_file(output, "--output", inputs) as target:
        if exact != (reference is not None):
            raise ValueError("expected --exact and --reference together, got one of them")
        if reference is None:
            require_transform_suffix(output)
            inverse = _inverse_of_parts(transform)
            write_transform(inverse, target)
            note = "inverted each part"
        else:
            mapping, grid = _read_both(transform, reference, series)
            is_field = not output.name.lower().endswith(TRANSFORM_SUFFIXES)
            _require_format(target, grid, is_field=is_field)
            field, inverted = inverse_displacement_field(mapping, grid, tolerance=tolerance)
            if is_field:
                write_image(field, target, keeps_grid=True)
            else:
                write_transform(displacement_field_transform(field), target)
            note = _exactness(inverted)
    report(f"{note}; maps from {_spaces(transform, inverse=True)}: {output}")


def jacobian(
    transform: Transform,
    output: File,
    reference: Annotated[
        Path, typer.Option(help="Image that gives the grid, in the space TRANSFORM maps from.")
    ],
    series: options.Series = None,
) -> None:
    """Write the Jacobian determinant of a transform at every voxel.

    1 keeps the volume, below 1 compresses, 0 and below is folding.
    """
    with staged_file(output, "--output", [transform, reference]) as target:
        mapping, grid = _read_both(transform, reference, series)
        require_format(small_image(itk.Image[itk.F, grid.GetImageDimension()], grid), target)
        determinants = metrics.jacobian_determinant_image(mapping, grid)
        write_image(determinants, target)
    values = itk.array_view_from_image(determinants)
    folding = metrics.folding_fraction(values)
    report(
        f"Jacobian determinant from {values.min():.3g} to {values.max():.3g}, folding "
        f"{f'{percentage(folding)} of the voxels' if folding else 'none'}: {output}"
    )


def _point_columns(
    table: Table, dimension: int, chosen: Columns | None, transform: Path, *, inverse: bool
) -> list[str]:
    """Return the columns of the points to map."""
    axes = "xyz"[:dimension]
    landmarks = landmark_columns(dimension)
    has_landmarks = set(landmarks) <= set(table.header)
    if chosen is not None and not has_landmarks:
        raise ValueError(f"expected --columns with columns of landmarks, got {table.path} without")
    if not has_landmarks or (chosen is None and set(axes) <= set(table.header)):
        return list(axes)
    spaces = list(Columns) if SPACES.get(transform.stem) else []
    if spaces and (transform.stem == "moving_to_fixed") != inverse:
        spaces.reverse()
    if chosen is None and not spaces:
        raise ValueError(
            f"expected --columns fixed or moving, got {table.path} with both, and a TRANSFORM "
            "whose name does not show which of them it maps"
        )
    space = chosen or spaces[0]
    return [f"{space}_{axis}" for axis in axes]


def _read_both(transform: Path, reference: Path, series: options.Series) -> tuple[Any, Any]:
    grid = read_grid(reference, "--reference", series or ())
    return read_transform(transform, "TRANSFORM", grid.GetImageDimension()), grid


def _require_format(target: Path, grid: Any, *, is_field: bool) -> None:
    """Raise a ValueError unless a displacement field, or a transform, can be written."""
    if is_field:
        axes = grid.GetImageDimension()
        kind = itk.Image[itk.Vector[itk.F, axes], axes]
        require_format(small_image(kind, grid), target, keeps_grid=True)
    else:
        require_transform_suffix(target)


def _inverse_of_parts(transform: Path) -> Any:
    mapping = read_transform(transform, "TRANSFORM")
    parts, inverses = transforms.flatten(mapping), inverse_parts(mapping)
    for part, inverse in zip(reversed(parts), inverses, strict=True):
        if inverse is None:
            raise ValueError(
                "expected TRANSFORM with parts that all have an inverse, or --exact, "
                f"got {transform} with a {part.GetNameOfClass()}"
            )
    return inverses[0] if len(inverses) == 1 else compose(inverses)


def _exactness(inverted: InvertedPoints) -> str:
    count = np.count_nonzero(~inverted.converged)
    return (
        f"inverted {len(inverted.points):,} points, {count or 'all'} "
        f"{'did not converge' if count else 'converged'}, "
        f"largest residual {inverted.residuals.max():.2g} mm"
    )


def _spaces(transform: Path, *, inverse: bool = False) -> str:
    """Return the spaces that a transform, or its inverse, maps between."""
    known = SPACES.get(transform.stem, ("TRANSFORM's input space", "TRANSFORM's output space"))
    return " to ".join(reversed(known) if inverse else known)
