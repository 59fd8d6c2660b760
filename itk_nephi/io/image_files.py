"""Image files as ITK reads them, checked for damage; doubtful ones in a child process."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from itk_nephi.io.child_process import read_apart
from itk_nephi.io.errors import plain_errors, plain_words, require_file
from itk_nephi.io.voxel_bytes import FORMATS, check_voxel_bytes, image_suffix
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain

logger = logging.getLogger(__name__)

T = TypeVar("T")

IN_PROCESS = (".nii", ".gipl")
"""The suffixes of files whose headers, of fixed length, ITK reads in this process."""

IN_CHILD = (".tif", ".tiff", ".lsm")
"""The suffixes of those that are checked before, but hold more than what is checked."""

KINDS = {
    "unsigned_char": (itk.UC, np.uint8),
    "char": (itk.SS, np.int8),
    "unsigned_short": (itk.US, np.uint16),
    "short": (itk.SS, np.int16),
    "unsigned_int": (itk.UI, np.uint32),
    "int": (itk.SI, np.int32),
    "unsigned_long": (itk.ULL, np.uint64),
    "long": (itk.ULL, np.int64),
    "unsigned_long_long": (itk.ULL, np.uint64),
    "long_long": (itk.ULL, np.int64),
    "float": (itk.F, np.float32),
}
"""As what ITK's Python, which lacks some types, reads a component, and what it is in truth."""

_VECTORKINDS = (itk.UC, itk.US, itk.SS, itk.F)
"""The components of images of vectors in ITK's Python; all others become double."""

_COLORS = ("rgb", "rgba")

Reader = Callable[["str | list[str]", "ImageHeader"], Any]
"""From a file, or those of a DICOM series, and the header of the first, to an image."""


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
    component_bytes: int

    @property
    def domain(self) -> ImageDomain:
        """The voxel grid in physical space; that of each frame where there are four axes."""
        axes = min(len(self.size), 3)
        directions = zip(*(row[:axes] for row in self.direction[:axes]), strict=True)
        return ImageDomain(
            self.size[:axes], self.spacing[:axes], self.origin[:axes], tuple(directions)
        )

    @property
    def is_color(self) -> bool:
        """Whether the voxels are colors."""
        return self.pixel in _COLORS


def read_file(
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
        _readable(path) as name,
    ):
        if path.is_dir():
            return _apart(partial(_read_series, series=series, read=read), path)
        suffix = image_suffix(name)
        if suffix in IN_CHILD:
            check_voxel_bytes(name, 0, 0)
        if suffix in IN_CHILD or suffix not in FORMATS:
            return _apart(partial(_read_all, read=read), name)
        header = _read_header(str(name)) if suffix in IN_PROCESS else _apart(_read_header, name)
        values = math.prod(header.size) * header.components
        check_voxel_bytes(name, values * header.component_bytes, values)
        return header, None if read is None else read(str(name), header)


def _apart(read: Callable[[Path], T], path: Path) -> T:
    """Read in a child process; what libraries print meanwhile is a warning, or a refusal."""
    # loads what the child would have to load anew each time
    itk.ImageIOFactory.CreateImageIO(path.suffix, itk.CommonEnums.IOFileMode_ReadMode)
    found, printed = read_apart(read, path)
    words = plain_words(ValueError(" ".join(printed)))
    if printed and ("warning" not in words.lower() or "missing slices" in words):
        raise ValueError(f"damaged: {words}")
    if printed:
        logger.warning("%s: %s", path, words)
    return found


def _read_all(path: Path, read: Reader | None) -> tuple[ImageHeader, Any]:
    """Read a file whole, in the child process, as arrays can be sent."""
    header = _read_header(str(path))
    image = (read or read_components)(str(path), header)
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
            f"a folder with {len(chosen)} DICOM series, {', '.join(chosen)}: choose with --series"
        )
    files = list(names.GetFileNames(chosen[0]))
    header = _read_header(files[0])
    if len(files) == 1:
        image = (read or read_components)(files[0], header)
        return header, None if read is None else itk.array_from_image(image)
    image = (read or read_components)(files, header)
    domain = ImageDomain.of(image)
    header = replace(
        header,
        size=domain.size,
        spacing=domain.spacing,
        origin=domain.origin,
        direction=tuple(zip(*domain.direction, strict=True)),
    )
    return header, None if read is None else itk.array_from_image(image)


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
    return ImageHeader(
        size=size,
        spacing=tuple(float(reader.GetSpacing(axis)) for axis in axes),
        origin=tuple(float(reader.GetOrigin(axis)) for axis in axes),
        direction=tuple(tuple(reader.GetDirection(axis)) for axis in axes),
        pixel=reader.GetPixelTypeAsString(reader.GetPixelType()),
        component=reader.GetComponentTypeAsString(reader.GetComponentType()),
        components=int(reader.GetNumberOfComponents()),
        component_bytes=int(reader.GetComponentSize()),
    )


def read_components(name: str | list[str], header: ImageHeader) -> Any:
    """Read all components of the voxels, in a type that ITK's Python has."""
    if header.components == 1:
        return read_scalars(name, header)
    kind = KINDS.get(header.component, (itk.D,))[0]
    if kind not in _VECTORKINDS:
        kind = itk.D
    kind = itk.VectorImage[kind, len(header.size)]
    return _output(kind, name)


def read_scalars(name: str | list[str], header: ImageHeader) -> Any:
    """Read scalar voxels, of colors the luminance, in a type that ITK's Python has."""
    kind = KINDS.get(header.component, (itk.D,))[0]
    return itk.imread(name, kind) if isinstance(name, str) else _output(itk.Image[kind, 3], name)


def _output(kind: Any, name: str | list[str]) -> Any:
    """Read an image of a type, from a file or those of a series."""
    if isinstance(name, str):
        reader = itk.ImageFileReader[kind].New(file_name=name)
    else:
        reader = itk.ImageSeriesReader[kind].New(file_names=name)
    reader.Update()
    return reader.GetOutput()


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Give a path whose suffix is in lower case, as ITK's readers want it."""
    name = lower_suffix(path)
    if name == path.name or path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / name
        link.symlink_to(path.absolute())
        yield link


def lower_suffix(path: Path) -> str:
    """Return the name of a file with its suffix, of .gz with that before it, in lower case."""
    stem = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    end = Path(stem).suffix + path.name[len(stem) :]
    return path.name.removesuffix(end) + end.lower()
