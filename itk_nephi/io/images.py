"""Images, read with clear messages on what is wrong."""

from __future__ import annotations

import locale
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from itk_nephi.io.child_process import read_apart
from itk_nephi.io.dicom import check_dicom
from itk_nephi.io.errors import SHEARED, is_damage, plain_errors, plain_words, require_file
from itk_nephi.io.image_files import image_suffix, readable
from itk_nephi.io.image_header import ImageHeader
from itk_nephi.io.tiff import TIFF_SUFFIXES, check_tiff
from itk_nephi.io.voxel_bytes import FORMATS, check_voxel_bytes
from itk_nephi.io.voxels import KINDS, VECTOR_KINDS, exact_image, own_type
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, ImageDomain, image_from_array

logger = logging.getLogger(__name__)

T = TypeVar("T")

IN_PROCESS = (".nii", ".gipl")
"""The suffixes of files whose headers, of fixed length, ITK reads in this process."""

ASIDE = 0.1
"""How far aside of the first slice the last may lie, voxels: positions in DICOM are rounded."""

META_COLORS = {3: "rgb", 4: "rgba"}
"""What components of bytes are in a MetaImage, which has no colors of its own."""

Reader = Callable[["str | list[str]", "ImageHeader"], Any]
"""From a file, or those of a DICOM series, and the header of the first, to an image."""


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
    return _read(path, argument, series)[0]


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

    def read_scalars(files: str | list[str], header: ImageHeader) -> Any:
        if isinstance(files, str):
            _check_scalar(header, path, argument)
        return _read_scalars(files, header)

    header, image = _read(path, argument, series, read_scalars)
    if header.is_color:
        logger.warning("%s: color converted to luminance", path)
    if isinstance(image, np.ndarray):
        image = image_from_array(image, header.domain)
    if KINDS.get(header.component, (None,))[0] == "ULL":
        image = exact_image(image, header, path, argument)
    return image


def read_voxels(
    path: Path, argument: str, series: Sequence[str] = (), *, any_size: bool = False
) -> tuple[ImageHeader, npt.NDArray[Any]]:
    """Read the voxels of any image in 2 or 3 dimensions, or of each frame of a series in 4.

    Other arguments and errors as for :func:`read_image`.

    Parameters
    ----------
    any_size : bool
        Take single slices and other dimensions, too.

    Returns
    -------
    header : ImageHeader
        The header.
    values : array, shape (T, k, j, i, C)
        Of T frames and C components, one each in most images, of the file's own type.
    """
    header, image = _read(path, argument, series, _read_components)
    if not any_size:
        _check_size(header, path, argument, (2, 3, 4))
    values = image if isinstance(image, np.ndarray) else itk.array_from_image(image)
    values = values.reshape(-1, *header.size[2::-1], header.components)
    return header, own_type(values, header)


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


def _read(
    path: Path,
    argument: str,
    series: Sequence[str] = (),
    read: Reader | None = None,
) -> tuple[ImageHeader, Any]:
    """Return the header of an image file, and what ``read`` makes of it: an image or an array."""
    if not path.is_dir():
        require_file(path, argument)
    with (
        plain_errors(f"expected {argument} to be an image that ITK can read, got {path}"),
        readable(path) as name,
    ):
        if path.is_file():
            path.open("rb").close()  # the reason why it cannot be read, which ITK does not give
        if path.is_dir():
            return _apart(partial(_read_series, series=series, read=read), path)
        suffix = image_suffix(name)
        if suffix not in FORMATS:
            spacing = check_tiff(name) if suffix in TIFF_SUFFIXES else None
            header, image = _apart(partial(_read_all, read=read), name)
            if spacing is not None and len(spacing) == len(header.size):
                header = replace(header, spacing=spacing)
            return header, image
        header = _read_header(str(name)) if suffix in IN_PROCESS else _apart(_read_header, name)
        values = math.prod(header.size) * header.components
        lost = check_voxel_bytes(name, values * header.component_bytes, values)
        with _same_locale():
            image = None if read is None else read(str(name), header)
        if image is not None and lost is not None and len(lost):
            # of vectors the components come one after the other in NIfTI, and side by side in ITK
            found = itk.array_view_from_image(image).reshape(-1, header.components)
            found.T[np.unravel_index(lost, found.T.shape)] = np.nan
        return header, image


@contextmanager
def _same_locale() -> Iterator[None]:
    """Keep the locale of the process, which ITK's reader of VTK files leaves changed."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)


def _apart(read: Callable[[Path], T], path: Path) -> T:
    """Read in a child process; what libraries print meanwhile is a warning, or a refusal."""
    # loads what the child would have to load anew each time
    suffix = ".dcm" if path.is_dir() else path.suffix or ".dcm"
    itk.ImageIOFactory.CreateImageIO(suffix, itk.CommonEnums.IOFileMode_ReadMode)
    found, printed = read_apart(read, path)
    words = plain_words(ValueError(" ".join(printed)))
    if is_damage(printed):
        raise ValueError(f"damaged: {words}")
    if printed:
        logger.warning("%s: %s", path, words)
    return found


def _read_all(path: Path, read: Reader | None) -> tuple[ImageHeader, Any]:
    """Read a file whole, in the child process, as arrays can be sent."""
    header = _read_header(str(path))
    image = (read or _read_components)(str(path), header)
    return header, None if read is None else itk.array_from_image(image)


def _read_series(
    folder: Path, series: Sequence[str], read: Reader | None
) -> tuple[ImageHeader, Any]:
    """Read a DICOM series, in the child process."""
    names = itk.GDCMSeriesFileNames.New()
    names.SetDirectory(str(folder))
    found = list(names.GetSeriesUIDs())
    if not found:
        raise ValueError("a folder without a DICOM series")
    chosen = [each for each in found if each in series] or found
    if len(chosen) > 1:
        raise ValueError(
            f"a folder with {len(chosen)} DICOM series, {', '.join(chosen)}: choose with --series "
            "where there is this option, or move the one to take into a folder of its own"
        )
    files = list(names.GetFileNames(chosen[0]))
    headers = list(map(_read_header, files))
    header = headers[0]
    if len({each.component for each in headers}) > 1:  # each slice has a scale of its own
        header = replace(header, component="double", component_bytes=8)
    if len(files) == 1:
        image = (read or _read_components)(files[0], header)
        return header, None if read is None else itk.array_from_image(image)
    _check_stack(headers)
    image = (read or _read_components)(files, header)
    domain = ImageDomain.of(image)
    header = replace(
        header,
        size=domain.size,
        spacing=domain.spacing,
        origin=domain.origin,
        direction=tuple(zip(*domain.direction, strict=True)),
    )
    return header, None if read is None else itk.array_from_image(image)


def _check_stack(headers: Sequence[ImageHeader]) -> None:
    """Check that slices lie above each other, not shifted aside as those of a tilted gantry."""
    way = np.subtract(headers[-1].origin, headers[0].origin)
    normal = np.array(headers[0].direction[2])
    aside = np.linalg.norm(way - (way @ normal) * normal)
    if aside > ASIDE * min(headers[0].spacing[:2]):
        raise ValueError(SHEARED)


def _read_header(name: str | Path) -> ImageHeader:
    reader = itk.ImageIOFactory.CreateImageIO(str(name), itk.CommonEnums.IOFileMode_ReadMode)
    if reader is None:
        raise ValueError("a damaged file, or no image")
    reader.SetFileName(str(name))
    reader.ReadImageInformation()
    axes = range(reader.GetNumberOfDimensions())
    size = tuple(int(reader.GetDimensions(axis)) for axis in axes)
    if not size or min(size) < 1:
        raise ValueError(f"damaged: its header has a size of {size}")
    if reader.GetNameOfClass() == "GDCMImageIO":
        check_dicom(Path(name), reader)
    spacing = tuple(float(reader.GetSpacing(axis)) for axis in axes)
    origin = tuple(float(reader.GetOrigin(axis)) for axis in axes)
    direction = tuple(tuple(reader.GetDirection(axis)) for axis in axes)
    if not (np.isfinite([*spacing, *origin]).all() and np.isfinite(direction).all()):
        raise ValueError("damaged: its header has a spacing, origin or axes that are not finite")
    rotation = np.array(direction)[:3, :3]
    if len(size) > 2 and not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
        raise ValueError(SHEARED)
    pixel = reader.GetPixelTypeAsString(reader.GetPixelType())
    component = reader.GetComponentTypeAsString(reader.GetComponentType())
    components = int(reader.GetNumberOfComponents())
    if reader.GetNameOfClass() == "MetaImageIO" and component == "unsigned_char":
        pixel = META_COLORS.get(components, pixel)
    return ImageHeader(
        size=size,
        spacing=spacing,
        origin=origin,
        direction=direction,
        pixel=pixel,
        component=component,
        components=components,
        component_bytes=int(reader.GetComponentSize()),
    )


def _read_components(name: str | list[str], header: ImageHeader) -> Any:
    if header.components == 1:
        return _read_scalars(name, header)
    kind = KINDS.get(header.component, ("D",))[0]
    component = getattr(itk, kind if kind in VECTOR_KINDS else "D")
    return _output(itk.VectorImage[component, len(header.size)], name)


def _read_scalars(name: str | list[str], header: ImageHeader) -> Any:
    kind = getattr(itk, KINDS.get(header.component, ("D",))[0])
    return itk.imread(name, kind) if isinstance(name, str) else _output(itk.Image[kind, 3], name)


def _output(kind: Any, name: str | list[str]) -> Any:
    """Read an image of a type, from a file or those of a series."""
    if isinstance(name, str):
        reader = itk.ImageFileReader[kind].New(file_name=name)
    else:
        reader = itk.ImageSeriesReader[kind].New(file_names=name)
    reader.Update()
    return reader.GetOutput()
