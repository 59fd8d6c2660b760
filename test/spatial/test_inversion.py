from __future__ import annotations

import logging
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.spatial import inversion
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.inversion import inverse_parts, invert_points
from itk_nephi.spatial.transforms import compose, flatten, jacobians, transform_points


def points_around(domain: ImageDomain, count: int = 400) -> np.ndarray:
    """Random points inside and outside of the domain."""
    relative = np.random.default_rng(5).uniform(-2, 2, (count, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


def test_the_inverse_of_a_diffeomorphism_is_exact(
    diffeomorphism: Any, domain: ImageDomain, caplog: pytest.LogCaptureFixture
) -> None:
    points = points_around(domain)
    assert np.linalg.det(jacobians(flatten(diffeomorphism)[0], points)).min() > 0.2
    targets = transform_points(diffeomorphism, points)
    for tolerance, accuracy in ((1e-3, 5e-3), (1e-6, 5e-6)):
        inverted = invert_points(diffeomorphism, targets, tolerance=tolerance)
        assert inverted.converged.all()
        residuals = np.linalg.norm(
            transform_points(diffeomorphism, inverted.points) - targets, axis=1
        )
        np.testing.assert_allclose(inverted.residuals, residuals, rtol=0, atol=1e-10)
        assert residuals.max() <= tolerance
        np.testing.assert_allclose(inverted.points, points, rtol=0, atol=accuracy)
    assert caplog.text == ""


def test_it_converges_from_afar(diffeomorphism: Any, domain: ImageDomain) -> None:
    field, affine = flatten(diffeomorphism)
    strong = compose([field, affine, field, affine, field])
    points = points_around(domain)
    far = itk.TranslationTransform[itk.D, domain.dimension].New()
    far.SetOffset([100.0] * domain.dimension)
    inverted = invert_points(strong, transform_points(strong, points), guess=far, tolerance=1e-6)
    assert inverted.converged.all()
    np.testing.assert_allclose(inverted.points, points, rtol=0, atol=1e-4)


def test_a_transform_of_which_itk_knows_no_inverse_is_inverted(dimension: int) -> None:
    bspline = itk.BSplineTransform[itk.D, dimension, 3].New()
    bspline.SetTransformDomainOrigin([-50.0] * dimension)
    bspline.SetTransformDomainPhysicalDimensions([100.0] * dimension)
    bspline.SetTransformDomainMeshSize([3] * dimension)
    rng = np.random.default_rng(2)
    values = rng.normal(size=bspline.GetNumberOfParameters()) * 3
    bspline.SetParameters(itk.OptimizerParameters[itk.D](values.tolist()))
    assert inverse_parts(bspline) == [None]
    points = rng.uniform(-30, 30, (50, dimension))
    inverted = invert_points(bspline, transform_points(bspline, points), tolerance=1e-6)
    assert inverted.converged.all()
    np.testing.assert_allclose(inverted.points, points, rtol=0, atol=1e-5)


def test_it_starts_from_the_inverses_of_the_parts(diffeomorphism: Any, domain: ImageDomain) -> None:
    field, affine = flatten(diffeomorphism)
    targets = points_around(domain)
    start = invert_points(diffeomorphism, targets, max_iterations=0).points
    expected = transform_points(
        field.GetInverseTransform(), transform_points(affine.GetInverseTransform(), targets)
    )
    np.testing.assert_allclose(start, expected, rtol=0, atol=1e-10)
    undone = compose(inverse_parts(diffeomorphism))
    np.testing.assert_allclose(transform_points(undone, targets), expected, rtol=0, atol=1e-10)
    start = invert_points(diffeomorphism, targets, guess=affine, max_iterations=0).points
    np.testing.assert_array_equal(start, transform_points(affine, targets))


def test_a_linear_transform_is_inverted_without_a_step(dimension: int) -> None:
    affine = itk.AffineTransform[itk.D, dimension].New()
    affine.Scale(2.0)
    affine.SetTranslation([3.0] * dimension)
    inverted = invert_points(affine, [[5.0] * dimension], max_iterations=0)
    np.testing.assert_allclose(inverted.points, [[1.0] * dimension], rtol=0, atol=1e-12)


def test_points_that_nothing_is_mapped_to_do_not_converge(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flattening = itk.AffineTransform[itk.D, 2].New()
    flattening.SetMatrix(itk.matrix_from_array(np.diag([2.0, 0.0])))
    inverted = invert_points(flattening, [[8.0, 0.0], [6.0, -5.0], [np.nan, 0.0], [4.0, 0.25]])
    assert inverted.converged.tolist() == [True, False, False, False]
    np.testing.assert_allclose(inverted.residuals, [0, 5, np.nan, 0.25], rtol=0, atol=1e-12)
    np.testing.assert_allclose(inverted.points[[0, 1, 3], 0], [4, 3, 2], rtol=0, atol=1e-12)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "3 of 4 points did not converge to an inverse within" in caplog.text


def test_points_are_inverted_alike_in_chunks(
    diffeomorphism: Any, domain: ImageDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = points_around(domain, 50)
    whole = invert_points(diffeomorphism, targets)
    monkeypatch.setattr(inversion, "POINTS_AT_ONCE", 7)
    chunks = invert_points(diffeomorphism, targets)
    np.testing.assert_allclose(chunks.points, whole.points, rtol=0, atol=1e-6)
    assert chunks.converged.tolist() == whole.converged.tolist()


def test_no_points_give_no_points(diffeomorphism: Any, dimension: int) -> None:
    inverted = invert_points(diffeomorphism, np.empty((0, dimension)))
    assert inverted.points.shape == (0, dimension)
    assert inverted.converged.shape == inverted.residuals.shape == (0,)


def test_bad_arguments_are_refused(diffeomorphism: Any, dimension: int) -> None:
    for tolerance in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="expected tolerance to be positive, in mm, got"):
            invert_points(diffeomorphism, np.zeros((1, dimension)), tolerance=tolerance)
    with pytest.raises(ValueError, match=r"expected points of shape \(N, \d\), got shape"):
        invert_points(diffeomorphism, np.zeros((2, dimension + 1)))
