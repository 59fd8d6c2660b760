from __future__ import annotations

from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.transforms import compose, flatten, is_neural, jacobians, transform_points


def b_spline(domain: ImageDomain) -> Any:
    dimension = domain.dimension
    transform = itk.BSplineTransform[itk.D, dimension, 3].New()
    transform.SetTransformDomainOrigin((domain.center - 300).tolist())
    transform.SetTransformDomainPhysicalDimensions([600.0] * dimension)
    transform.SetTransformDomainMeshSize([3] * dimension)
    values = np.random.default_rng(2).normal(size=transform.GetNumberOfParameters()) * 5
    transform.SetParameters(itk.OptimizerParameters[itk.D](values.tolist()))
    return transform


@pytest.fixture
def transforms(domain: ImageDomain, affine: Any, deformation: Deformation) -> dict[str, Any]:
    nephi, spline = transform_from_deformation(deformation), b_spline(domain)
    inverse = affine.GetInverseTransform()
    return {
        "identity": itk.IdentityTransform[itk.D, domain.dimension].New(),
        "affine": affine,
        "B-spline": spline,
        "NePhi": nephi,
        "composite": compose([nephi, spline, affine]),
        "nested": compose([affine, compose([inverse, compose([nephi])]), affine]),
    }


@pytest.fixture
def points(domain: ImageDomain) -> Array:
    """Points in and around the domain."""
    offset = np.random.default_rng(5).normal(size=(23, domain.dimension)) * 5
    return domain.center + offset


def test_points_are_moved_as_itk_moves_them(transforms: dict[str, Any], points: Array) -> None:
    for name, transform in transforms.items():
        expected = [transform.TransformPoint(point) for point in points.tolist()]
        moved = transform_points(transform, points)
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-10, err_msg=name)


def test_no_points_stay_no_points(transforms: dict[str, Any], dimension: int) -> None:
    for transform in transforms.values():
        assert transform_points(transform, np.empty((0, dimension))).shape == (0, dimension)


def test_points_of_another_dimension_are_refused() -> None:
    for wrong in (np.zeros((4, 2)), np.zeros(3)):
        with pytest.raises(ValueError, match=r"points of shape \(N, 3\), got shape"):
            transform_points(itk.IdentityTransform[itk.D, 3].New(), wrong)
        with pytest.raises(ValueError, match=r"points of shape \(N, 3\), got shape"):
            jacobians(itk.IdentityTransform[itk.D, 3].New(), wrong)


def test_parts_come_in_the_order_in_which_they_move_a_point(
    transforms: dict[str, Any], affine: Any
) -> None:
    parts = flatten(transforms["nested"])
    names = [part.GetNameOfClass() for part in parts]
    assert names == ["AffineTransform", "AffineTransform", "NePhiTransform", "AffineTransform"]
    for part in (parts[0], parts[3]):
        np.testing.assert_array_equal(part.GetParameters(), affine.GetParameters())


def test_a_composite_moves_points_through_its_parts_in_turn(
    transforms: dict[str, Any], points: Array
) -> None:
    moved = points
    for name in ("NePhi", "B-spline", "affine"):
        moved = transform_points(transforms[name], moved)
    found = transform_points(transforms["composite"], points)
    np.testing.assert_allclose(found, moved, rtol=0, atol=1e-10)


def test_jacobians_agree_with_finite_differences(transforms: dict[str, Any], points: Array) -> None:
    step = 1e-4
    for name, transform in transforms.items():
        columns = [
            transform_points(transform, points + e) - transform_points(transform, points - e)
            for e in step * np.eye(points.shape[1])
        ]
        expected = np.stack(columns, axis=-1) / (2 * step)
        # differences have the step squared and rounding errors over the step as errors; fields are
        # evaluated to about a millionth of their extent of 6 mm
        kinds = [part.GetNameOfClass() for part in flatten(transform)]
        tolerance = 3e-2 if "NePhiTransform" in kinds else 2e-5
        np.testing.assert_allclose(
            jacobians(transform, points), expected, rtol=1e-4, atol=tolerance, err_msg=name
        )


def test_the_jacobian_of_an_affine_transform_is_its_matrix(affine: Any, points: Array) -> None:
    found = jacobians(affine, points)
    expected = np.broadcast_to(itk.array_from_matrix(affine.GetMatrix()), found.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_only_a_neural_field_is_neural(affine: Any, deformation: Deformation) -> None:
    field = transform_from_deformation(deformation)
    assert is_neural(field)
    assert not is_neural(affine)
    assert [is_neural(part) for part in flatten(compose([affine, field]))] == [False, True]
