"""Images, written, and read again: a format may not hold all of an image."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from itk_nephi.io.child_process import read_apart
from itk_nephi.io.compression import compress
from itk_nephi.io.errors import plain_errors
from itk_nephi.io.image_files import image_suffix, lower_suffix
from itk_nephi.io.image_header import ImageHeader
from itk_nephi.io.images import read_image_header
from itk_nephi.io.tiff import TIFF_SUFFIXES
from itk_nephi.io.voxel_bytes import FORMATS
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, ImageDomain, difference

logger = logging.getLogger(__name__)


def write_image(image: Image, path: Path, *, keeps_grid: bool = False) -> None:
    """Write an image in the format that the suffix names, compressed where the format can.

    Of NIfTI quickly and on all cores, see :func:`itk_nephi.io.compression.compress`.

    Parameters
    ----------
    image : itk.Image
        What to write. That a format does not hold its spacing, origin or direction is logged.
    path : Path
        The file.
    keeps_grid : bool
        Refuse such a format.

    Raises
    ------
    ValueError
        If ITK cannot write it, the format does not hold all of its voxels, or not all of them got
        to the disk.
    """
    lost = _write_and_read(image, path, keeps_grid=keeps_grid)
    if lost:
        logger.warning("%s: this format does not hold its grid: it is read with %s", path, lost)


def require_format(small: Image, path: Path, *, keeps_grid: bool = False) -> None:
    """Write a small image where one like it is to be written, before the work is done.

    Arguments and errors as for :func:`write_image`.
    """
    _write_and_read(small, path, keeps_grid=keeps_grid)


def small_image(kind: Any, grid: Image) -> Image:
    """Return an image of a type on two voxels of each axis of a grid."""
    image = kind.New()
    image.CopyInformation(grid)
    image.SetRegions([2] * grid.GetImageDimension())
    image.Allocate(True)
    return image


def has_image_suffix(path: Path) -> bool:
    """Return whether ITK writes images of this suffix."""
    name = str(path.with_name(lower_suffix(path)))
    mode = itk.CommonEnums.IOFileMode_WriteMode
    return itk.ImageIOFactory.CreateImageIO(name, mode) is not None


def require_image_suffix(path: Path) -> None:
    """Raise a ValueError unless ITK writes images of this suffix."""
    with plain_errors(f"expected to write an image to {path}"):
        is_known = has_image_suffix(path)
    if not is_known:
        raise ValueError(
            f"expected to write an image to {path}, whose suffix is none of an image that ITK "
            "writes; take .nii.gz, .nrrd or .mha"
        )


def _write_and_read(image: Image, path: Path, *, keeps_grid: bool) -> str:
    """Write an image; return in words what differs between its grid and that of its file."""
    require_image_suffix(path)
    name = lower_suffix(path)  # as ITK knows it
    is_packed = name.endswith(".nii.gz")
    written = path.with_name(f".{name.removesuffix('.gz')}" if is_packed else name)
    try:
        with plain_errors(f"expected to write an image to {path}"):
            if image_suffix(written) in (*FORMATS, *TIFF_SUFFIXES):
                _write(image, written)
            else:  # in a child process: HDF5 cannot be rid of a file that it could not write
                read_apart(partial(_write, image), written, itk.array_view_from_image(image).nbytes)
            try:
                header = read_image_header(written, "what was written")
            except ValueError as error:
                raise ValueError(str(error).replace(str(written), str(path))) from error
            lost = _lost(image, header)
            if lost and keeps_grid:
                raise ValueError(f"this format does not hold its grid: it is read with {lost}")
        if is_packed:
            compress(written, path)
        elif written != path:
            written.rename(path)
    finally:
        if written != path:
            written.unlink(missing_ok=True)
    return lost


def _write(image: Image, path: Path) -> None:
    # compress() does that of NIfTI
    itk.imwrite(image, str(path), compression=image_suffix(path) != ".nii")


def _lost(image: Image, header: ImageHeader) -> str:
    region = image.GetLargestPossibleRegion()
    size = tuple(int(n) for n in region.GetSize())
    if header.size != size:
        raise ValueError(
            f"this format does not hold all voxels of {len(size)} axes; take .nii.gz, .nrrd or .mha"
        )
    if min(size[:3]) < 2:  # no domain of a field
        return ""
    axes = slice(min(len(size), 3))
    domain = ImageDomain(
        size=size[axes],
        spacing=tuple(image.GetSpacing())[axes],
        origin=tuple(image.TransformIndexToPhysicalPoint(region.GetIndex()))[axes],
        direction=tuple(map(tuple, itk.array_from_matrix(image.GetDirection())[axes, axes])),
    )
    return "" if header.domain.matches(domain) else difference(header.domain, domain)
