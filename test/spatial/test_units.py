"""One field at voxels of several sizes: the same Jacobian, inverse and B-spline, in voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from itk_nephi.evaluation.metrics import folding_fraction, jacobian_determinant_image
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import (
    displacement_field_transform,
    inverse_displacement_field,
    to_bspline_transform,
    vector_image,
)
from itk_nephi.spatial.inversion import invert_points
from itk_nephi.spatial.transforms import jacobians, transform_points

SIZES = (1.0, 1e-3, 0.025, 1e3)


def waves(dimension: int, size: float, amplitude: float) -> tuple[Any, Any]:
    """Return a grid and a displacement field of waves, whose amplitude is in voxels."""
    grid = itk.image_from_array(np.zeros((24,) * dimension, np.float32))
    grid.SetSpacing([size] * dimension)
    values = np.zeros((*(24,) * dimension, dimension))
    values[..., 0] = amplitude * np.sin(2 * np.pi * np.arange(24) / 12) * size
    return grid, displacement_field_transform(vector_image(values, grid, itk.D))


@pytest.mark.parametrize("dimension", [2, 3])
def test_jacobians_and_inverses_are_the_same_in_any_unit(dimension: int) -> None:
    results = []
    for size in SIZES:
        grid, fold = waves(dimension, size, 3.0)
        determinants = itk.asarray(jacobian_determinant_image(fold, grid))
        grid, gentle = waves(dimension, size, 1.0)
        points = np.random.default_rng(0).uniform(4, 19, (20, dimension)) * size
        inverted = invert_points(gentle, points)
        assert inverted.converged.all()
        residuals = np.linalg.norm(transform_points(gentle, inverted.points) - points, axis=1)
        assert residuals.max() < 2e-3 * size
        _, everywhere = inverse_displacement_field(gentle, grid)
        results.append(
            [
                determinants,
                jacobians(fold, points),
                inverted.points / size,
                everywhere.points / size,
                folding_fraction(determinants),
            ]
        )
    assert results[0][-1] > 0.1
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(found, expected, atol=5e-3)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_bspline_is_as_fine_in_any_unit(dimension: int) -> None:
    meshes = set()
    for size in SIZES:
        grid, field = waves(dimension, size, 1.0)
        spline, error = to_bspline_transform(field, grid, tolerance=0.1 * size)
        assert error <= 0.1 * size
        meshes.add(tuple(spline.GetTransformDomainMeshSize()))
    assert len(meshes) == 1
