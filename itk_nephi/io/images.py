"""Images: read with clear messages on what is wrong, and written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.io.compression import compress
from itk_nephi.io.errors import plain_errors
from itk_nephi.io.image_files import (
    KINDS,
    ImageHeader,
    lower_suffix,
    read_components,
    read_file,
    read_scalars,
)
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, ImageDomain, image_from_array

logger = logging.getLogger(__name__)


def read_image_header(path: Path, argument: str, series: Sequence[str] = ()) -> ImageHeader:
    """Read the header of an image file, and check that its voxels are there.

    Parameters
    ----------
    path : Path
        In any format that ITK reads; a folder holds a DICOM series.
    argument : str
        What messages call it.
    series : sequence of str
        Which series to take of a folder with several.

    Raises
    ------
    ValueError
        If ITK cannot read the file, or it is truncated or damaged.
    """
    return read_file(path, argument, series)[0]


def read_scalar_header(path: Path, argument: str, series: Sequence[str] = ()) -> ImageHeader:
    """Read the header of the file of a scalar or color image in 2 or 3 dimensions.

    Arguments and errors as for :func:`read_image`.
    """
    header = read_image_header(path, argument, series)
    _check_scalar(header, path, argument)
    return header


def read_image(path: Path, argument: str, series: Sequence[str] = ()) -> Any:
    """Read a scalar image in 2 or 3 dimensions, of the file's pixel type; color becomes luminance.

    Types that ITK's Python has not become larger ones that hold all of their values.

    Parameters
    ----------
    path, argument, series
        As for :func:`read_image_header`.

    Raises
    ------
    ValueError
        If the file cannot be read, is damaged, or is not such an image.
    """

    def read_checked(files: str | list[str], header: ImageHeader) -> Any:
        if isinstance(files, str):
            _check_scalar(header, path, argument)
        return read_scalars(files, header)

    header, image = read_file(path, argument, series, read_checked)
    if header.is_color:
        logger.warning("%s: color converted to luminance", path)
    if isinstance(image, np.ndarray):
        image = image_from_array(image, header.domain)
    if KINDS.get(header.component, (None,))[0] == itk.ULL:
        image = _exact_image(image, header, path, argument)
    return image


def read_voxels(
    path: Path, argument: str, series: Sequence[str] = ()
) -> tuple[ImageHeader, npt.NDArray[Any]]:
    """Read the voxels of any image in 2 or 3 dimensions, or of each frame of a series in 4.

    Arguments and errors as for :func:`read_image`.

    Returns
    -------
    header : ImageHeader
        The header.
    values : array, shape (T, k, j, i, C)
        Of T frames and C components, one each in most images, of the file's own type.
    """
    header, image = read_file(path, argument, series, read_components)
    _check_size(header, path, argument, (2, 3, 4))
    values = image if isinstance(image, np.ndarray) else itk.array_from_image(image)
    values = values.reshape(-1, *header.domain.size[::-1], header.components)
    kind = KINDS.get(header.component, (None, np.float64))[1]
    return header, values.view(kind) if values.itemsize == 8 else values.astype(kind, copy=False)


def read_grid(path: Path, argument: str, series: Sequence[str] = ()) -> Image:
    """Read the grid of an image, the first three axes of a series; its voxels are left out.

    Arguments and errors as for :func:`read_image`.
    """
    header = read_image_header(path, argument, series)
    _check_size(header, path, argument, (2, 3, 4))
    domain = header.domain
    grid = itk.Image[itk.UC, domain.dimension].New()
    grid.SetRegions(domain.size)
    grid.SetSpacing(domain.spacing)
    grid.SetOrigin(domain.origin)
    grid.SetDirection(itk.matrix_from_array(np.array(domain.direction)))
    return grid


def write_image(image: Any, path: Path) -> None:
    """Write an image in the format that the suffix names, compressed where the format can.

    Of NIfTI quickly and on all cores, see :func:`itk_nephi.io.compression.compress`.

    Raises
    ------
    ValueError
        If ITK cannot write it, or not all of it got to the disk.
    """
    require_image_suffix(path)
    name = lower_suffix(path)  # as ITK knows it
    is_packed = name.endswith(".nii.gz")
    written = path.with_name(f".{name.removesuffix('.gz')}" if is_packed else name)
    try:
        with plain_errors(f"expected to write an image to {path}"):
            itk.imwrite(image, str(written), compression=not is_packed)
            read_file(written, "what was written")
        if is_packed:
            compress(written, path)
        elif written != path:
            written.rename(path)
    finally:
        if written != path:
            written.unlink(missing_ok=True)


def require_image_suffix(path: Path) -> None:
    """Raise a ValueError unless ITK writes images of this suffix."""
    name = str(path.with_name(lower_suffix(path)))
    if itk.ImageIOFactory.CreateImageIO(name, itk.CommonEnums.IOFileMode_WriteMode) is None:
        raise ValueError(
            f"expected to write an image to {path}, whose suffix is none of an image that ITK "
            "writes; take .nii.gz, .nrrd or .mha"
        )


def image_from_voxels(values: npt.NDArray[Any], header: ImageHeader, domain: ImageDomain) -> Image:
    """Return an image of the voxels of a file on another grid.

    Parameters
    ----------
    values : array
        As :func:`read_voxels` returns them.
    header : ImageHeader
        Of the file; a fourth axis stays as it is there.
    domain : ImageDomain
        The grid of the other axes.

    Raises
    ------
    ValueError
        If ITK's Python has no images that hold all values.
    """
    values = _writable(values if header.components > 1 else values[..., 0])
    if len(header.size) < 4:
        values = values[0]
    values = np.ascontiguousarray(values)
    if values.dtype == np.uint64:
        image = _unsigned_image(values)
    else:
        image = itk.image_from_array(values, is_vector=header.components > 1)
    spacing, origin, direction = domain.spacing, domain.origin, np.array(domain.direction)
    if len(header.size) == 4:
        spacing, origin = (*spacing, header.spacing[3]), (*origin, header.origin[3])
        direction = np.block([[direction, np.zeros((3, 1))], [np.zeros((1, 3)), np.eye(1)]])
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(itk.matrix_from_array(direction))
    return image


def _writable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return voxels in a type of which ITK's Python has images; that they changed is logged."""
    wider: dict[str, tuple[Any, ...]] = {
        "int8": (np.int16,),
        "int64": (np.int32, np.uint64, np.float64),
    }
    if values.dtype.name not in wider:
        return values
    for kind in wider[values.dtype.name]:
        if (values.astype(kind).astype(values.dtype) == values).all() and (
            kind != np.uint64 or values.min() >= 0
        ):
            logger.warning(
                "%s values are written as %s, as ITK's Python has no such images",
                values.dtype,
                np.dtype(kind),
            )
            return values.astype(kind)
    raise ValueError(
        f"expected whole numbers of at most 2**53, got {values.min()} to {values.max()}, which no "
        "type of ITK's Python holds"
    )


def _exact_image(image: Image, header: ImageHeader, path: Path, argument: str) -> Image:
    """Return an image of 64-bit whole numbers as one of double or else of unsigned ones."""
    values = np.asarray(itk.array_view_from_image(image)).view(KINDS[header.component][1])
    if (np.abs(values.astype(np.float64)) <= 2.0**53).all():
        return image_from_array(values.astype(np.float64), header.domain)
    if values.min() < 0:
        raise ValueError(
            f"expected {argument} to have whole numbers of at most 2**53, got {path} with "
            f"{values.min()} to {values.max()}"
        )
    return image  # of unsigned numbers


def _unsigned_image(values: npt.NDArray[np.uint64]) -> Image:
    image = itk.Image[itk.ULL, values.ndim].New()
    image.SetRegions(values.shape[::-1])
    image.Allocate()
    itk.array_view_from_image(image)[...] = values
    return image


def _check_scalar(header: ImageHeader, path: Path, argument: str) -> None:
    _check_size(header, path, argument, (2, 3))
    if header.components != 1 and not header.is_color:
        raise ValueError(
            f"expected {argument} to have one value a voxel (or RGB), "
            f"got {path} with {header.components}"
        )


def _check_size(
    header: ImageHeader, path: Path, argument: str, dimensions: tuple[int, ...]
) -> None:
    got = f"got {path} of size {_sizes(header)}"
    if len(header.size) not in dimensions:
        way = "; transform-image takes a series frame by frame" if len(header.size) == 4 else ""
        raise ValueError(f"expected {argument} to be an image in 2 or 3 dimensions, {got}{way}")
    if min(header.size[:3]) < 2:
        raise ValueError(
            f"expected {argument} to have at least two voxels on every axis, {got}; "
            "save a single slice as a 2D image"
        )


def _sizes(header: ImageHeader) -> str:
    return " x ".join(map(str, header.size))
