"""Transform files: read with clear messages on what is wrong, and written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from itk_nephi.io.child_process import read_apart
from itk_nephi.io.errors import plain_errors, require_file
from itk_nephi.io.images import read_image_header, read_voxels
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import displacement_field_transform, vector_image
from itk_nephi.spatial.domain import Transform, image_from_array
from itk_nephi.spatial.initialization import KINDS
from itk_nephi.spatial.transforms import flatten

TRANSFORM_SUFFIXES = (".h5", ".hdf5", ".hdf", ".tfm", ".txt", ".mat", ".xfm")

TEXT_SUFFIXES = (".tfm", ".txt")

WRITTEN_SUFFIXES = (".h5", ".hdf5", ".hdf", ".tfm", ".txt", ".mat")
"""Those of them that ITK writes and reads again; it knows them in lower case alone."""


def read_transform(path: Path, argument: str, dimension: int | None = None) -> Transform:
    """Read the one transform of a file, in some dimension; a composite counts as one.

    Parameters
    ----------
    path : Path
        A transform in any format that ITK reads, or an image of displacements, mm, as ANTs and
        our own commands write it.
    argument : str
        What messages call it.
    dimension : int, optional
        Of the images.

    Raises
    ------
    ValueError
        If ITK cannot read the file, it is damaged, or it holds several transforms, numbers that are
        not finite, or a transform in another dimension.
    """
    require_file(path, argument)
    if path.name.lower().endswith(TRANSFORM_SUFFIXES):
        transforms = _read_transforms(path, argument)
    else:
        transforms = [_read_field(path, argument)]
    if len(transforms) != 1:
        raise ValueError(
            f"expected {argument} to hold one transform (a composite counts as one), "
            f"got {path} with {len(transforms)}"
        )
    transform = itk.down_cast(transforms[0])
    spaces = {transform.GetInputSpaceDimension(), transform.GetOutputSpaceDimension()}
    if dimension is not None and spaces != {dimension}:
        raise ValueError(
            f"expected {argument} in {dimension} dimensions like the images, "
            f"got {path} in {' to '.join(map(str, spaces))}"
        )
    return transform


def read_initial_transform(given: str, argument: str, dimension: int | None) -> Transform | str:
    """Return the name of a kind of initial transform as it is, or read the file of that name.

    Raises
    ------
    ValueError
        If it is neither, see :func:`read_transform`.
    """
    if given in KINDS:
        return given
    if not Path(given).exists():
        raise ValueError(
            f"expected {argument} to be {', '.join(KINDS)} or a transform file, got {given}, which "
            "does not exist"
        )
    return read_transform(Path(given), argument, dimension)


def require_transform_suffix(path: Path) -> None:
    """Raise a ValueError unless ITK writes transforms of this suffix."""
    with plain_errors(f"expected to write a transform to {path}"):
        str(path).encode()
    if not path.name.endswith(WRITTEN_SUFFIXES):
        raise ValueError(
            f"expected to write a transform to {path}, whose suffix is none of a transform that "
            "ITK writes; take .h5 or .tfm"
        )


def write_transform(transform: Transform, path: Path) -> None:
    """Write a transform in the format that the suffix names, compressed where the format can.

    Raises
    ------
    ValueError
        If ITK cannot write it, or not all of it got to the disk.
    """
    write_transforms(path.parent, {path.name: transform})


def write_transforms(folder: Path, transforms: Mapping[str, Transform]) -> None:
    """Write transforms into a folder, by the names of their files, see :func:`write_transform`."""
    for name in transforms:
        require_transform_suffix(folder / name)
    parts = [part for transform in transforms.values() for part in flatten(transform)]
    paths = " and ".join(str(folder / name) for name in transforms)
    with plain_errors(f"expected to write a transform to {paths}"):
        # in a child process: HDF5 cannot be rid of a file that it could not write
        size = sum(8 * part.GetNumberOfParameters() for part in parts)
        read_apart(partial(_write_and_check, transforms), folder, size)


def _write_and_check(transforms: Mapping[str, Transform], folder: Path) -> None:
    for name, transform in transforms.items():
        itk.transformwrite(transform, str(folder / name), compression=True)
        _read_and_drop(folder / name)


def _read_transforms(path: Path, argument: str) -> list[Any]:
    expectation = f"expected {argument} to be a transform that ITK can read, got {path}"
    with plain_errors(expectation), _of_known_class(path) as known:
        _check_file(known)
        return list(itk.transformread(str(known)))


@contextmanager
def _of_known_class(path: Path) -> Iterator[Path]:
    """Give the file, or a copy of it where the affine transforms of ITK-SNAP have ITK's name."""
    text = path.read_bytes() if path.suffix.lower() in TEXT_SUFFIXES else b""
    known = re.sub(
        rb"^(Transform: *)MatrixOffsetTransformBase_", rb"\1AffineTransform_", text, flags=re.M
    )
    if known == text:
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / f"affine{path.suffix}"
        copy.write_bytes(known)
        yield copy


def _check_file(path: Path) -> None:
    """Read the file in a child process first: in damaged ones ITK crashes, or takes all memory."""
    itk.load_transform_reader(str(path))  # once, not in the child and then here
    _, printed = read_apart(_read_and_drop, path)
    if printed:
        raise ValueError(f"damaged: {' '.join(printed)}")


def _read_and_drop(path: Path) -> None:
    transforms = itk.transformread(str(path))
    if path.suffix.lower() in TEXT_SUFFIXES:
        _check_text(path, [part for transform in transforms for part in flatten(transform)])
    for transform in transforms:
        parts = flatten(transform)
        if not parts:
            raise ValueError("truncated: a composite of no transforms")
        for part in parts:
            # ITK leaves out those that are too many
            numbers = part.GetParameters().Size()
            expected = type(part).New().GetParameters().Size() if part.IsLinear() else numbers
            if numbers != expected:
                raise ValueError(
                    f"damaged: expected {expected} parameters of its {part.GetNameOfClass()}, got "
                    f"{numbers}"
                )
            if not (part.GetParameters().is_finite() and part.GetFixedParameters().is_finite()):
                raise ValueError(f"numbers of its {part.GetNameOfClass()} are not finite")


def _check_text(path: Path, parts: list[Transform]) -> None:
    """Check that a file of text has all numbers; what it lacks, ITK leaves at its default."""
    lines = [line.split() for line in path.read_text(encoding="latin-1").splitlines()]
    for name in ("Parameters", "FixedParameters"):
        found = [len(words) - 1 for words in lines if words[:1] == [f"{name}:"]]
        expected = [int(getattr(part, f"Get{name}")().Size()) for part in parts]
        if list(filter(None, found)) != list(filter(None, expected)):
            raise ValueError(
                f"truncated: expected {sum(expected)} {name} of {len(expected)} transforms, got "
                f"{sum(found)} of {len(found)}"
            )


def _read_field(path: Path, argument: str) -> Any:
    """Read an image of displacements as a transform."""
    header = read_image_header(path, argument)
    dimension = len(header.size)
    if dimension not in (2, 3) or header.components != dimension:
        raise ValueError(
            f"expected {argument} to be a transform that ITK can read, or an image of "
            f"displacements, got {path}, an image of {header.components} components in {dimension} "
            "dimensions"
        )
    _, values = read_voxels(path, argument)
    if not np.isfinite(values).all():
        raise ValueError(f"expected {argument} of finite displacements, got {path} with others")
    grid = image_from_array(np.zeros(header.domain.size[::-1], np.uint8), header.domain)
    return displacement_field_transform(vector_image(values[0].astype(np.float64), grid, itk.D))
