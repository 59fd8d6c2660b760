"""Voxels of all types: what ITK's Python, which lacks some, reads and writes them as."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.io.image_header import ImageHeader
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, ImageDomain, image_from_array

logger = logging.getLogger(__name__)

KINDS = {
    "unsigned_char": ("UC", np.uint8),
    "char": ("SS", np.int8),
    "unsigned_short": ("US", np.uint16),
    "short": ("SS", np.int16),
    "unsigned_int": ("UI", np.uint32),
    "int": ("SI", np.int32),
    "unsigned_long": ("ULL", np.uint64),
    "long": ("ULL", np.int64),
    "unsigned_long_long": ("ULL", np.uint64),
    "long_long": ("ULL", np.int64),
    "float": ("F", np.float32),
}
"""As what ITK's Python, which lacks some types, reads a component, and what it is."""

VECTOR_KINDS = ("UC", "US", "SS", "F")
"""The components of images of vectors in ITK's Python; all others become double."""


OTHERS = {
    "complex": "complex numbers",
    "matrix": "matrices",
    **dict.fromkeys(("symmetric_second_rank_tensor", "diffusion_tensor_3D"), "tensors"),
}
"""Voxels that are more than their components, and what they are called."""

WIDER: dict[str, tuple[Any, ...]] = {
    "int8": (np.int16,),
    "int64": (np.int32, np.uint64, np.float64),
}
"""As what voxels are written of whose type ITK's Python has no images: the first that holds all."""

WIDER_VECTORS: dict[str, tuple[Any, ...]] = {"int8": (np.int16,)} | dict.fromkeys(
    ("int32", "uint32", "int64", "uint64"), (np.float64,)
)
"""The same of vectors."""


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
        If ITK's Python has no images that hold all values, or these are complex, matrices or
        tensors.
    """
    if header.pixel in OTHERS:
        raise ValueError(
            f"expected numbers, colors or vectors, got {OTHERS[header.pixel]}, which would be "
            "written as vectors: save each component as an image of its own"
        )
    is_vector = header.components > 1
    values = _writable(
        values if is_vector else values[..., 0], WIDER_VECTORS if is_vector else WIDER
    )
    if len(header.size) < 4:
        values = values[0]
    values = np.ascontiguousarray(values)
    if values.dtype == np.uint64:
        image = _unsigned_image(values)
    else:
        image = itk.image_from_array(values, is_vector=is_vector)
    spacing, origin, direction = domain.spacing, domain.origin, np.array(domain.direction)
    if len(header.size) == 4:
        spacing, origin = (*spacing, header.spacing[3]), (*origin, header.origin[3])
        direction = np.block([[direction, np.zeros((3, 1))], [np.zeros((1, 3)), np.eye(1)]])
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(itk.matrix_from_array(direction))
    return image


def own_type(values: npt.NDArray[Any], header: ImageHeader) -> npt.NDArray[Any]:
    """Return the voxels of a file, as ITK's Python has read them, in the type they have there.

    Raises
    ------
    ValueError
        If they are vectors of whole numbers of 2**53 or more, which are read as double.
    """
    kind = KINDS.get(header.component, (None, np.float64))[1]
    if values.dtype == np.uint64:
        return values.view(kind)
    if np.dtype(kind).itemsize == 8 and kind != np.float64 and (np.abs(values) >= 2.0**53).any():
        raise ValueError(
            f"expected components below 2**53, got {values.min():g} to {values.max():g}"
        )
    return values.astype(kind, copy=False)


def _writable(values: npt.NDArray[Any], wider: dict[str, tuple[Any, ...]]) -> npt.NDArray[Any]:
    """Return voxels in a type of which ITK's Python has images; that they changed is logged."""
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


def exact_image(image: Image, header: ImageHeader, path: Path, argument: str) -> Image:
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
