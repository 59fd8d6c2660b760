"""Images, transforms and tables: read with plain words on what is wrong, written whole or not."""

from __future__ import annotations

import csv
import gzip
import logging
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import itk
import numpy as np

from itk_nephi.domain import Array, ImageDomain

logger = logging.getLogger(__name__)

TRANSFORM_SUFFIXES = (".h5", ".hdf5", ".hdf", ".tfm", ".txt", ".mat", ".xfm")

_PIXEL_TYPES = {
    "unsigned_char": itk.UC,
    "char": itk.SS,
    "unsigned_short": itk.US,
    "short": itk.SS,
    "unsigned_int": itk.UI,
    "int": itk.SI,
    "float": itk.F,
}
"""Component types read as they are (or one size up); all others become double."""

_COLORS = ("rgb", "rgba")


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says before its voxels are read; ``direction`` has a row per axis."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]
    pixel: str
    component: str
    components: int

    @property
    def domain(self) -> ImageDomain:
        """The voxel grid in physical space."""
        directions = zip(*self.direction, strict=True)
        return ImageDomain(self.size, self.spacing, self.origin, tuple(directions))


def read_image_header(path: Path, argument: str) -> ImageHeader:
    """Read what an image file says of its voxels.

    Raises
    ------
    ValueError
        If ITK cannot read the file; ``argument`` is what the message calls it.
    """
    require_file(path, argument)
    with plain_errors(f"expected {argument} to be an image that ITK can read, got {path}"):
        reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
        if reader is None:
            raise ValueError("a damaged file, or no image")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        axes = range(reader.GetNumberOfDimensions())
        size = tuple(int(reader.GetDimensions(axis)) for axis in axes)
        if not size or min(size) < 1:
            raise ValueError(f"damaged: its header says a size of {size}")
        expected, found = int(reader.GetImageSizeInBytes()), _bytes_found(path)
        if found is not None and found < expected:
            raise ValueError(f"truncated: {expected} bytes of voxels expected, {found} found")
        return ImageHeader(
            size=size,
            spacing=tuple(float(reader.GetSpacing(axis)) for axis in axes),
            origin=tuple(float(reader.GetOrigin(axis)) for axis in axes),
            direction=tuple(tuple(reader.GetDirection(axis)) for axis in axes),
            pixel=reader.GetPixelTypeAsString(reader.GetPixelType()),
            component=reader.GetComponentTypeAsString(reader.GetComponentType()),
            components=int(reader.GetNumberOfComponents()),
        )


def read_scalar_header(path: Path, argument: str) -> ImageHeader:
    """Read what the file of a scalar or color image in 2 or 3 dimensions says of its voxels.

    Raises
    ------
    ValueError
        If the file is not such an image; ``argument`` is what the message calls it.
    """
    header = read_image_header(path, argument)
    got = f"got {path} of size {' x '.join(map(str, header.size))}"
    if len(header.size) not in (2, 3):
        raise ValueError(f"expected {argument} to be an image in 2 or 3 dimensions, {got}")
    if min(header.size) < 2:
        raise ValueError(
            f"expected {argument} to have at least two voxels on every axis, {got}; "
            "save a single slice as a 2D image"
        )
    if header.components != 1 and header.pixel not in _COLORS:
        raise ValueError(
            f"expected {argument} to have one value a voxel (or RGB), "
            f"got {path} with {header.components}"
        )
    return header


def read_image(path: Path, argument: str) -> Any:
    """Read a scalar image in 2 or 3 dimensions, of the file's pixel type; color becomes luminance.

    Parameters
    ----------
    path : Path
        In any format that ITK reads.
    argument : str
        What messages call it.

    Raises
    ------
    ValueError
        If the file cannot be read, or is not such an image.
    """
    header = read_scalar_header(path, argument)
    if header.pixel in _COLORS:
        logger.warning("%s: color converted to luminance", path)
    with plain_errors(f"expected {argument} to be an image that ITK can read, got {path}"):
        return itk.imread(str(path), _PIXEL_TYPES.get(header.component, itk.D))


def read_transform(path: Path, argument: str, dimension: int | None = None) -> Any:
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


def read_csv(path: Path, argument: str) -> list[list[str]]:
    """Read the lines of a CSV file that are not empty, the header first, its names stripped.

    The separator is the comma, semicolon or tab that the header has most of.

    Raises
    ------
    ValueError
        If it is no such file; ``argument`` is what the message calls it.
    """
    require_file(path, argument)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            lines = [line for line in csv.reader(file, delimiter=separator) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"expected {argument} to be a CSV file, got {path}: {error}") from error
    if not lines:
        raise ValueError(f"expected {argument} to be a CSV file with a header, got {path}, empty")
    return [[name.strip() for name in lines[0]], *lines[1:]]


@dataclass(frozen=True)
class Table:
    """A CSV file: its columns' names and its rows, as text."""

    path: Path
    argument: str
    header: list[str]
    rows: list[list[str]]

    @classmethod
    def read(cls, path: Path, argument: str) -> Table:
        """Read a CSV file with a header.

        Raises
        ------
        ValueError
            If it is no such file; ``argument`` is what the message calls it.
        """
        header, *rows = read_csv(path, argument)
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise ValueError(
                    f"expected {len(header)} columns in every row of {argument}, "
                    f"got {len(row)} in row {number} of {path}"
                )
        return cls(path, argument, header, rows)

    def points(self, columns: list[str]) -> Array:
        """Return the numbers of some columns, shape (rows, columns).

        Raises
        ------
        ValueError
            If a column is missing, there is no row, or a value is not a finite number.
        """
        missing = [name for name in columns if name not in self.header]
        if missing or not self.rows:
            raise ValueError(
                f"expected {self.argument} to have rows with the columns {', '.join(columns)}, got "
                f"{self.path} with {len(self.rows)} rows and the columns {', '.join(self.header)}"
            )
        places = [self.header.index(name) for name in columns]
        points = np.array([[_number(row[place]) for place in places] for row in self.rows])
        if not np.isfinite(points).all():
            row, column = (int(n) for n in np.argwhere(~np.isfinite(points))[0])
            raise ValueError(
                f"expected finite numbers in {self.argument}, got "
                f"{self.rows[row][places[column]]!r} in row {row + 1}, column {columns[column]} "
                f"of {self.path}"
            )
        return points

    def write(self, path: Path, columns: list[str], points: Array) -> None:
        """Write the table with new numbers in some columns."""
        places = [self.header.index(name) for name in columns]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.header)
            for row, point in zip(self.rows, points.tolist(), strict=True):
                moved = list(row)
                for place, value in zip(places, point, strict=True):
                    moved[place] = repr(value)
                writer.writerow(moved)


def write_image(image: Any, path: Path) -> None:
    """Write an image in the format that the suffix names, compressed where the format can."""
    with plain_errors(f"expected to write an image to {path}"):
        itk.imwrite(image, str(path), compression=True)


def write_transform(transform: Any, path: Path) -> None:
    """Write a transform in the format that the suffix names, compressed where the format can."""
    with plain_errors(f"expected to write a transform to {path}"):
        itk.transformwrite(transform, str(path), compression=True)


@contextmanager
def staged(folder: Path, argument: str) -> Iterator[Path]:
    """Give a temporary folder whose files replace those of ``folder`` if all goes well.

    Raises
    ------
    ValueError
        At once, if ``folder`` cannot be made or written; ``argument`` is what the message calls it.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".itk-nephi-", dir=folder))
    except OSError as error:
        raise ValueError(
            f"expected {argument} to be where files can be written, got {folder}: {error.strerror}"
        ) from error
    try:
        yield stage
        for file in sorted(stage.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def plain_words(error: BaseException) -> str:
    """Return an exception's message as one line, without what ITK's C++ adds to it."""
    message = re.sub(r"^\S+:\d+:\s*", "", str(error).strip())
    message = re.sub(r"ITK ERROR: (\w+\(0x[0-9a-f]+\): )?", "", message)
    message = re.sub(r"\s*Tried to create one of the following:.*", "", message, flags=re.DOTALL)
    return " ".join(message.split()).rstrip(".") or type(error).__name__


def spelling_hint(name: str, known: Collection[str]) -> str:
    """Ask whether an unknown name is one that it is part of or else spelled like, or tell all."""
    near = [other for other in known if f"_{name}_" in f"_{other}_"]
    near = near or get_close_matches(name, known, n=1)
    return f"is it {' or '.join(near)}?" if near else f"known are {', '.join(known)}"


def require_file(path: Path, argument: str) -> None:
    """Raise a ValueError unless there is such a file; ``argument`` is what the message calls it."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "which does not exist"
        raise ValueError(f"expected {argument} to be a file, got {path}, {found}")


@contextmanager
def plain_errors(expectation: str) -> Iterator[None]:
    """Turn what ITK throws into one ValueError, and what its libraries print into log lines."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        level = logging.DEBUG
        try:
            yield
            level = logging.WARNING
        except (RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
            raise ValueError(f"{expectation}: {plain_words(error)}") from error
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            printed.seek(0)
            if text := printed.read().decode(errors="replace").strip():
                logger.log(level, "%s", text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _bytes_found(path: Path) -> int | None:
    """Return a file's bytes, decompressed, for formats whose end ITK does not notice."""
    name = path.name.lower()
    if name.endswith((".nii", ".gipl")):
        return path.stat().st_size
    if not name.endswith((".nii.gz", ".gipl.gz")):
        return None
    count = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(2**20):
                count += len(block)
    except gzip.BadGzipFile:
        return path.stat().st_size
    except (EOFError, OSError) as error:
        raise ValueError(f"truncated or damaged: {error}") from error
    return count
