"""Images: read with clear messages on what is wrong, and written."""

from __future__ import annotations

import gzip
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itk_nephi.io.compression import compress
from itk_nephi.io.errors import plain_errors, require_file
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain

logger = logging.getLogger(__name__)

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

_HEADER_BYTES = {".nii": 348, ".gipl": 256}
"""What comes before the voxels at least, in formats whose end ITK does not notice."""


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file; ``direction`` has a row per axis."""

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
    """Read the header of an image file.

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
            raise ValueError(f"damaged: its header has a size of {size}")
        expected, found = int(reader.GetImageSizeInBytes()), _bytes_found(path)
        if found is not None and found < expected:
            raise ValueError(f"truncated: expected {expected} bytes of voxels, got {found}")
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
    """Read the header of the file of a scalar or color image in 2 or 3 dimensions.

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


def write_image(image: Any, path: Path) -> None:
    """Write an image in the format that the suffix names, compressed where the format can.

    Of NIfTI quickly and on all cores, see :func:`itk_nephi.io.compression.compress`.
    """
    with plain_errors(f"expected to write an image to {path}"):
        if not path.name.lower().endswith(".nii.gz"):
            itk.imwrite(image, str(path), compression=True)
            return
        plain = path.with_name(f".{path.name[: -len('.gz')]}")
        try:
            itk.imwrite(image, str(plain))
            compress(plain, path)
        finally:
            plain.unlink(missing_ok=True)


def _bytes_found(path: Path) -> int | None:
    """Return the bytes that a file has for voxels, where its format is one of ``_HEADER_BYTES``."""
    name = path.name.lower()
    header = _HEADER_BYTES.get(Path(name.removesuffix(".gz")).suffix)
    if header is None:
        return None
    return (_bytes_decompressed(path) if name.endswith(".gz") else path.stat().st_size) - header


def _bytes_decompressed(path: Path) -> int:
    count = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(2**20):
                count += len(block)
    except gzip.BadGzipFile:  # of a name that it has by mistake
        return path.stat().st_size
    except (EOFError, OSError) as error:
        raise ValueError(f"truncated or damaged: {error}") from error
    return count
