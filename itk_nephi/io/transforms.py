"""Transform files: read with clear messages on what is wrong, and written."""

from __future__ import annotations

from pathlib import Path

from itk_nephi.io.errors import plain_errors, require_file
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Transform
from itk_nephi.spatial.initialization import KINDS

TRANSFORM_SUFFIXES = (".h5", ".hdf5", ".hdf", ".tfm", ".txt", ".mat", ".xfm")


def read_transform(path: Path, argument: str, dimension: int | None = None) -> Transform:
    """Read the one transform of a file, in some dimension; a composite counts as one.

    Raises
    ------
    ValueError
        If ITK cannot read the file, or it holds several transforms or one in another dimension;
        ``argument`` is what the message calls it.
    """
    require_file(path, argument)
    with plain_errors(f"expected {argument} to be a transform that ITK can read, got {path}"):
        transforms = itk.transformread(str(path))
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


def write_transform(transform: Transform, path: Path) -> None:
    """Write a transform in the format that the suffix names, compressed where the format can."""
    with plain_errors(f"expected to write a transform to {path}"):
        itk.transformwrite(transform, str(path), compression=True)
