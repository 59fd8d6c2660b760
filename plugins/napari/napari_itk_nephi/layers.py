"""Layers of napari as images of ITK, and back."""

from __future__ import annotations

from typing import Any

import itk
import numpy as np


def image_from_layer(layer: Any) -> Any:
    """Return the pixels of a layer as an ``itk.Image`` on the layer's grid, in single precision.

    Raises
    ------
    ValueError
        If the layer is not of 2 or 3 dimensions, is of colors, or is turned or sheared.
    """
    dimension = layer.ndim
    if dimension not in (2, 3) or getattr(layer, "rgb", False):
        raise ValueError(
            f"expected a layer of gray values in 2 or 3 dimensions, got {layer.name!r}"
        )
    matrix = np.asarray(layer.affine.linear_matrix) @ np.asarray(layer.rotate)
    if not np.allclose(matrix, np.eye(dimension)) or np.any(layer.shear):
        raise ValueError(f"expected a layer that is not turned or sheared, got {layer.name!r}")
    image = itk.image_from_array(np.ascontiguousarray(layer.data, dtype=np.float32))
    image.SetSpacing([float(length) for length in layer.scale[::-1]])
    image.SetOrigin([float(x) for x in layer.translate[::-1]])
    return image


def mask_from_layer(layer: Any) -> Any:
    """Return where a layer is not zero, or None without a layer."""
    if layer is None:
        return None
    mask = image_from_layer(layer)
    values = itk.array_view_from_image(mask)
    values[:] = values != 0
    return mask


def warped_array(moving: Any, transform: Any, fixed: Any) -> np.ndarray:
    """Resample an image through a transform onto the grid of another one."""
    smallest = float(itk.array_view_from_image(moving).min())
    return itk.array_from_image(
        itk.resample_image_filter(
            moving,
            transform=transform,
            use_reference_image=True,
            reference_image=fixed,
            default_pixel_value=smallest,
        )
    )
