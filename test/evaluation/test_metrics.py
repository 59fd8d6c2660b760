from __future__ import annotations

from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.evaluation.metrics import (
    dice,
    folding_fraction,
    inverse_consistency_errors,
    jacobian_determinant_image,
    jacobian_determinants,
    landmark_errors,
    log_jacobian_sd,
    normalized_cross_correlation,
    volume_change,
)
from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.spatial.conversion import to_bspline_transform, to_displacement_field_transform
from itk_nephi.spatial.domain import ImageDomain, image_like
from itk_nephi.spatial.transforms import compose, jacobians


def test_an_affine_transform_changes_volume_alike_everywhere(image: Any, affine: Any) -> None:
    expected = np.linalg.det(itk.array_from_matrix(affine.GetMatrix()))
    determinants = jacobian_determinant_image(affine, image)
    np.testing.assert_allclose(np.asarray(determinants), expected, rtol=1e-6)


def test_the_determinant_image_has_the_reference_grid(
    image: Any,
    domain: ImageDomain,
    affine: Any,
    deformation: Deformation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("itk_nephi.evaluation.metrics.POINTS_AT_ONCE", 11)
    # the affine part keeps points off the kinks of the field, where rounding chooses the side
    transform = compose([affine, transform_from_deformation(deformation)])
    determinants = jacobian_determinant_image(transform, image)
    assert ImageDomain.of(determinants) == domain
    for index in np.ndindex(*domain.size):
        point = image.TransformIndexToPhysicalPoint(index)
        expected = np.linalg.det(jacobians(transform, [list(point)]))[0]
        assert determinants.GetPixel(index) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("part", ["field", "b-spline"])
def test_the_determinants_of_any_transform_are_those_of_its_jacobians(
    image: Any, affine: Any, diffeomorphism: Any, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itk_nephi.evaluation.metrics.POINTS_AT_ONCE", 100)
    if part == "field":
        sampled = to_displacement_field_transform(diffeomorphism, image)
    else:
        sampled, _ = to_bspline_transform(diffeomorphism, image, spacing=8)
    transform = compose([sampled, affine, affine])
    determinants = np.asarray(jacobian_determinant_image(transform, image)).reshape(-1)
    points = ImageDomain.of(image).voxel_points(np.arange(determinants.size))
    # outside its grid a field is zero, so that rounding decides at the faces of the image
    inner = np.zeros(np.asarray(image).shape, bool)
    inner[(slice(1, -1),) * inner.ndim] = True
    chosen = np.flatnonzero(inner)
    expected = np.linalg.det(jacobians(transform, points[chosen]))
    # displacements of up to 100 mm are kept as float
    np.testing.assert_allclose(determinants[chosen], expected, rtol=5e-3)


@pytest.mark.parametrize("voxels", [1e-4, 1e-5])
def test_a_large_motion_before_a_field_costs_its_determinants_no_digits(
    image: Any, diffeomorphism: Any, voxels: float
) -> None:
    """What all points have in common is taken away before it is rounded."""
    sampled, _ = to_bspline_transform(diffeomorphism, image, spacing=8)
    shift = itk.TranslationTransform[itk.D, image.GetImageDimension()].New()
    shift.SetOffset([-min(image.GetSpacing()) / voxels] * image.GetImageDimension())
    there = ImageDomain.of(image)
    moved = image_like(image, np.asarray(image))
    moved.SetOrigin((np.array(there.origin) + min(image.GetSpacing()) / voxels).tolist())
    expected = np.asarray(jacobian_determinant_image(sampled, image))
    found = np.asarray(jacobian_determinant_image(compose([shift, sampled]), moved))
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("exact", [True, False])
def test_determinants_of_some_parts_of_voxels_are_those_at_their_centers(
    domain: ImageDomain,
    image: Any,
    diffeomorphism: Any,
    exact: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transform = diffeomorphism
    if not exact:
        transform, _ = to_bspline_transform(diffeomorphism, image, spacing=8)
    inside = np.zeros(domain.size[::-1], bool)
    inside[2:4, 1:3] = inside[-2, 2] = True
    monkeypatch.setattr("itk_nephi.evaluation.metrics.POINTS_AT_ONCE", 200)
    parts = list(jacobian_determinants(transform, domain, inside, refinement=2))
    assert len(parts) > 1
    fine = domain.subdivided(2)
    every = inside
    for axis in range(domain.dimension):
        every = every.repeat(2, axis)
    points = fine.voxel_points(np.flatnonzero(every))
    expected = np.linalg.det(jacobians(transform, points))
    # displacements of up to 100 mm are kept as float
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-6 if exact else 5e-3)


def test_volume_change_of_parts_is_that_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 1000)
    folding, sd = volume_change(np.split(values, [0, 10, 500, 501]))
    assert folding == np.mean(values <= 0) > 0
    assert sd == pytest.approx(np.log(values[values > 0]).std(), rel=1e-12)


def test_folding_is_the_fraction_that_is_not_positive() -> None:
    determinants = np.array([[1.0, -0.5, 0.0], [2.0, np.nan, 1e-9]])
    assert folding_fraction(determinants) == 3 / 6
    assert folding_fraction(determinants, np.array([[1, 0, 1], [0, 0, 7]])) == 1 / 3
    assert folding_fraction(itk.image_from_array(np.ones((3, 4), np.float32))) == 0


def test_a_reflection_folds_everywhere(image: Any) -> None:
    dimension = image.GetImageDimension()
    transform = itk.AffineTransform[itk.D, dimension].New()
    transform.SetMatrix(itk.matrix_from_array(np.diag([-1.0] + [1.0] * (dimension - 1))))
    assert folding_fraction(jacobian_determinant_image(transform, image)) == 1


def test_the_deviation_of_the_logarithm_is_of_the_voxels_that_do_not_fold() -> None:
    determinants = np.array([np.e, 1 / np.e, -3.0, np.e])
    assert log_jacobian_sd(determinants, [1, 1, 1, 0]) == pytest.approx(1)
    assert np.isnan(log_jacobian_sd(np.array([-1.0, 0.0])))


@pytest.mark.parametrize("measure", [folding_fraction, log_jacobian_sd])
def test_masks_that_do_not_fit_are_refused(measure: Any) -> None:
    with pytest.raises(
        ValueError, match=r"mask on the grid of determinants, \(2, 3\), got \(3, 2\)"
    ):
        measure(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="non-zero voxels, got an empty one"):
        measure(np.ones((2, 3)), np.zeros((2, 3)))


def test_landmark_errors_are_distances_in_moving_space() -> None:
    transform = itk.TranslationTransform[itk.D, 3].New()
    transform.SetOffset([1.0, 2.0, 3.0])
    fixed = np.array([[0.0, 0, 0], [5, 5, 5]])
    moving = np.array([[1.0, 2, 3], [6, 7 - 3, 8 + 4]])
    np.testing.assert_allclose(landmark_errors(transform, fixed, moving), [0, 5], atol=1e-14)


def test_landmarks_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match=r"as many moving_points as fixed_points, shape \(4, 2\)"):
        landmark_errors(itk.IdentityTransform[itk.D, 2].New(), np.zeros((4, 2)), np.zeros((3, 2)))


def test_a_transform_and_its_inverse_are_consistent(affine: Any, domain: ImageDomain) -> None:
    points = domain.grid_points().reshape(-1, domain.dimension)
    errors = inverse_consistency_errors(affine, affine.GetInverseTransform(), points)
    np.testing.assert_allclose(errors, 0, atol=1e-11)


def test_translations_are_as_inconsistent_as_their_sum() -> None:
    there, back = (itk.TranslationTransform[itk.D, 2].New() for _ in range(2))
    there.SetOffset([5.0, 0.0])
    back.SetOffset([-2.0, 4.0])
    errors = inverse_consistency_errors(there, back, [[7.0, 8.0]])
    np.testing.assert_allclose(errors, 5)


def test_dice_of_an_image_with_itself_is_one(image: Any) -> None:
    labels = np.zeros(np.asarray(image).shape, np.uint8)
    labels[1:4, 1:3] = 3
    labels[0] = 200
    both = image_like(image, labels)
    identity = itk.IdentityTransform[itk.D, labels.ndim].New()
    assert dice(both, both, identity) == {3: 1.0, 200: 1.0}


def test_dice_has_its_closed_form_after_a_shift_by_one_voxel(
    image: Any, domain: ImageDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itk_nephi.evaluation.metrics.POINTS_AT_ONCE", 13)
    labels = np.zeros(domain.size[::-1], np.int32)
    labels[..., 1:4, 1:4] = 1  # a third moves out of it
    labels[..., 0, 0] = 2  # nothing stays
    labels[..., -1] = 5  # what comes from outside is background
    both = image_like(image, labels)
    shift = itk.TranslationTransform[itk.D, domain.dimension].New()
    shift.SetOffset((np.array(domain.direction)[:, 0] * domain.spacing[0]).tolist())
    expected = {1: 2 / 3, 2: 0.0, 5: 0.0}
    assert dice(both, both, shift) == pytest.approx(expected)


def test_dice_of_a_label_in_one_image_only_is_zero() -> None:
    one, other = (itk.image_from_array(np.full((4, 5), label, np.uint8)) for label in (1, 2))
    assert dice(one, other, itk.IdentityTransform[itk.D, 2].New()) == {1: 0.0, 2: 0.0}


@pytest.mark.parametrize("name", ["fixed_labels", "moving_labels"])
@pytest.mark.parametrize("value", [np.nan, -np.inf, 0.7])
def test_dice_is_of_whole_numbers(name: str, value: float) -> None:
    labels = {
        key: itk.image_from_array(np.ones((4, 5), np.float32))
        for key in ("fixed_labels", "moving_labels")
    }
    itk.array_view_from_image(labels[name])[2, 3] = value
    with pytest.raises(ValueError, match=f"expected {name} to have whole numbers, got {value:g}"):
        dice(**labels, fixed_to_moving=itk.IdentityTransform[itk.D, 2].New())


def test_correlation_agrees_with_numpy_and_ignores_scale() -> None:
    fixed, warped = np.random.default_rng(0).normal(size=(2, 6, 5))
    mask = np.random.default_rng(1).integers(0, 2, size=(6, 5))
    expected = np.corrcoef(fixed[mask > 0], warped[mask > 0])[0, 1]
    assert normalized_cross_correlation(fixed, warped, mask) == pytest.approx(expected)
    assert normalized_cross_correlation(fixed, 7 - 2 * fixed) == pytest.approx(-1)
    assert np.isnan(normalized_cross_correlation(fixed, np.ones_like(fixed)))


@pytest.mark.parametrize("constant", [0.1, 1e-300, 3e200, -7.0, 0.0])
def test_what_is_constant_correlates_with_nothing(constant: float) -> None:
    """The mean of so many doubles is not any of them."""
    flat, noisy = np.full(49_999, 0.3), np.random.default_rng(0).normal(size=49_999)
    rounded = np.full(49_999, constant)
    rounded[::3] = np.nextafter(constant, np.inf)
    for values in (np.full(49_999, constant), rounded):
        for other in (flat, noisy):
            assert np.isnan(normalized_cross_correlation(values, other))
            assert np.isnan(normalized_cross_correlation(other, values))


def test_correlation_of_other_grids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"warped on the grid of fixed, \(2, 3\), got \(3, 3\)"):
        normalized_cross_correlation(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="mask on the grid of fixed"):
        normalized_cross_correlation(np.ones((2, 3)), np.ones((2, 3)), np.ones(3))
