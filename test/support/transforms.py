"""Transforms in single and double precision, and points around their domains."""

from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.spatial.domain import Array, ImageDomain

PRECISIONS = pytest.mark.parametrize("precision", [itk.D, itk.F], ids=["double", "float"])


def read_transform(path: Path) -> Any:
    """Read a transform as any program with ITK does."""
    (transform,) = itk.transformread(str(path))
    return transform


def points_around(domain: ImageDomain, count: int, largest: float) -> Array:
    """Random points in a box this many times as large as the domain."""
    relative = np.random.default_rng(count).uniform(-largest, largest, (count, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


def in_precision(transform: Any, precision: Any) -> Any:
    """Return the same transform with parameters of another type."""
    result = itk.NePhiTransform[precision, transform.GetInputSpaceDimension()].New()
    for part in ("FixedParameters", "Parameters"):
        values = list(getattr(transform, f"Get{part}")())
        kind = itk.D if part == "FixedParameters" else precision
        getattr(result, f"Set{part}")(itk.OptimizerParameters[kind](values))
    return result
