from __future__ import annotations

from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.metrics import (
    dice,
    flat_transforms,
    folding_fraction,
    image_like,
    inverse_consistency_errors,
    is_inside,
    jacobian_determinant_image,
    jacobians,
    landmark_errors,
    normalized_cross_correlation,
    standard_deviation_of_log_jacobian,
    transform_points,
    voxel_points,
)

SIZES = {2: (7, 5), 3: (7, 5, 4)}
SPACINGS = {2: (0.7, 1.9), 3: (0.7, 1.9, 3.1)}
ORIGINS = {2: (-31.0, 12.5), 3: (-31.0, 12.5, 107.0)}


def rotation(dimension: int) -> np.ndarray:
    c, s = np.cos(0.4), np.sin(0.4)
    if dimension == 2:
        return np.array([[c, -s], [s, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return about_z @ np.array([[1, 0, 0], [0, s, c], [0, -c, s]])


def oblique(values: np.ndarray) -> Any:
    dimension = values.ndim
    image = itk.image_from_array(values)
    image.SetSpacing(SPACINGS[dimension])
    image.SetOrigin(ORIGINS[dimension])
    image.SetDirection(rotation(dimension))
    return image


@pytest.fixture(params=[2, 3])
def image(request: pytest.FixtureRequest) -> Any:
    shape = SIZES[request.param][::-1]
    return oblique(np.random.default_rng(1).normal(size=shape).astype(np.float32))


def affine(dimension: int, seed: int = 0) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = np.eye(dimension) + 0.2 * rng.normal(size=(dimension, dimension))
    transform = itk.AffineTransform[itk.D, dimension].New()
    transform.SetCenter(rng.normal(size=dimension) * 50)
    transform.SetTranslation(rng.normal(size=dimension) * 9)
    transform.SetMatrix(itk.matrix_from_array(matrix))
    return transform, matrix


def set_parameters(transform: Any, values: np.ndarray) -> Any:
    transform.SetParameters(itk.OptimizerParameters[itk.D](values.tolist()))
    return transform


def bspline(dimension: int) -> Any:
    transform = itk.BSplineTransform[itk.D, dimension, 3].New()
    transform.SetTransformDomainOrigin([-300.0] * dimension)
    transform.SetTransformDomainPhysicalDimensions([600.0] * dimension)
    transform.SetTransformDomainMeshSize([3] * dimension)
    count = transform.GetNumberOfParameters()
    return set_parameters(transform, np.random.default_rng(2).normal(size=count) * 5)


def nephi(dimension: int) -> Any:
    width, grid = 5, (2,) * dimension
    fixed = [1, width, 1, 3, 2, 1, *grid, *SIZES[dimension], *SPACINGS[dimension]]
    fixed += [*ORIGINS[dimension], *rotation(dimension).ravel()]
    fixed += np.random.default_rng(3).normal(size=2 * dimension * 3).tolist()
    transform = itk.NePhiTransform[itk.D, dimension].New()
    transform.SetFixedParameters(itk.OptimizerParameters[itk.D]([float(x) for x in fixed]))
    count = transform.GetNumberOfParameters()
    return set_parameters(transform, np.random.default_rng(4).normal(size=count) * 0.05)


def composite(*first_to_last: Any) -> Any:
    dimension = first_to_last[0].GetInputSpaceDimension()
    transform = itk.CompositeTransform[itk.D, dimension].New()
    for part in reversed(first_to_last):
        transform.AddTransform(part)
    return transform


def some_transforms(dimension: int) -> dict[str, Any]:
    first, second = affine(dimension, 1)[0], affine(dimension, 2)[0]
    return {
        "identity": itk.IdentityTransform[itk.D, dimension].New(),
        "affine": first,
        "B-spline": bspline(dimension),
        "NePhi": nephi(dimension),
        "composite": composite(nephi(dimension), bspline(dimension), first),
        "nested": composite(first, composite(second, composite(nephi(dimension))), second),
    }


def points_around(image: Any, count: int = 23) -> np.ndarray:
    rng = np.random.default_rng(5)
    dimension = image.GetImageDimension()
    centre = voxel_points(image, np.arange(np.asarray(image).size)).mean(axis=0)
    return centre + rng.normal(size=(count, dimension)) * 5


def test_points_are_moved_as_itk_moves_them(image: Any) -> None:
    points = points_around(image)
    for name, transform in some_transforms(points.shape[1]).items():
        expected = [transform.TransformPoint(point) for point in points.tolist()]
        moved = transform_points(transform, points)
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-10, err_msg=name)


def test_no_points_stay_no_points() -> None:
    for transform in some_transforms(3).values():
        assert transform_points(transform, np.empty((0, 3))).shape == (0, 3)


def test_points_of_another_dimension_are_refused() -> None:
    for wrong in (np.zeros((4, 2)), np.zeros(3)):
        with pytest.raises(ValueError, match=r"points of shape \(N, 3\), got shape"):
            transform_points(itk.IdentityTransform[itk.D, 3].New(), wrong)
        with pytest.raises(ValueError, match=r"points of shape \(N, 3\), got shape"):
            jacobians(itk.IdentityTransform[itk.D, 3].New(), wrong)


def test_parts_come_in_the_order_in_which_they_move_a_point() -> None:
    parts = flat_transforms(some_transforms(2)["nested"])
    names = [part.GetNameOfClass() for part in parts]
    assert names == ["AffineTransform", "AffineTransform", "NePhiTransform", "AffineTransform"]


def test_jacobians_agree_with_finite_differences(image: Any) -> None:
    points = points_around(image)
    step = 1e-4
    for name, transform in some_transforms(points.shape[1]).items():
        columns = [
            transform_points(transform, points + e) - transform_points(transform, points - e)
            for e in step * np.eye(points.shape[1])
        ]
        expected = np.stack(columns, axis=-1) / (2 * step)
        # differences have the step squared and rounding errors over the step as errors
        np.testing.assert_allclose(
            jacobians(transform, points), expected, rtol=1e-4, atol=2e-5, err_msg=name
        )


def test_the_jacobian_of_an_affine_transform_is_its_matrix(image: Any) -> None:
    transform, matrix = affine(image.GetImageDimension())
    found = jacobians(transform, points_around(image))
    np.testing.assert_allclose(found, np.broadcast_to(matrix, found.shape), rtol=0, atol=1e-12)


def test_an_affine_transform_changes_volume_alike_everywhere(image: Any) -> None:
    transform, matrix = affine(image.GetImageDimension())
    determinants = jacobian_determinant_image(transform, image)
    np.testing.assert_allclose(np.asarray(determinants), np.linalg.det(matrix), rtol=1e-6)


def test_the_determinant_image_has_the_reference_grid(
    image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itk_nephi.metrics.POINTS_AT_ONCE", 11)
    transform = some_transforms(image.GetImageDimension())["composite"]
    determinants = jacobian_determinant_image(transform, image)
    for index in np.ndindex(*tuple(image.GetLargestPossibleRegion().GetSize())):
        point = image.TransformIndexToPhysicalPoint(index)
        assert determinants.TransformIndexToPhysicalPoint(index) == point
        expected = np.linalg.det(jacobians(transform, [list(point)]))[0]
        assert determinants.GetPixel(index) == pytest.approx(expected, rel=1e-6, abs=1e-6)


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
    assert standard_deviation_of_log_jacobian(determinants, [1, 1, 1, 0]) == pytest.approx(1)
    assert np.isnan(standard_deviation_of_log_jacobian(np.array([-1.0, 0.0])))


@pytest.mark.parametrize("measure", [folding_fraction, standard_deviation_of_log_jacobian])
def test_masks_that_do_not_fit_are_refused(measure: Any) -> None:
    with pytest.raises(
        ValueError, match=r"mask on the grid of determinants, \(2, 3\), got \(3, 2\)"
    ):
        measure(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="not zero, got an empty one"):
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


def test_a_transform_and_its_inverse_are_consistent(image: Any) -> None:
    transform, _ = affine(image.GetImageDimension())
    points = points_around(image)
    errors = inverse_consistency_errors(transform, transform.GetInverseTransform(), points)
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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("itk_nephi.metrics.POINTS_AT_ONCE", 13)
    labels = np.zeros((5, 7), np.int32)
    labels[1:4, 1:4] = 1  # a third moves out of it
    labels[0, 0] = 2  # nothing stays
    labels[:, 6] = 5  # what comes from outside is background
    both = oblique(labels)
    shift = itk.TranslationTransform[itk.D, 2].New()
    shift.SetOffset((rotation(2)[:, 0] * SPACINGS[2][0]).tolist())
    expected = {1: 2 * 6 / 18, 2: 0.0, 5: 0.0}
    assert dice(both, both, shift) == pytest.approx(expected)


def test_dice_of_a_label_in_one_image_only_is_zero() -> None:
    one, other = (oblique(np.full((4, 5), label, np.uint8)) for label in (1, 2))
    assert dice(one, other, itk.IdentityTransform[itk.D, 2].New()) == {1: 0.0, 2: 0.0}


def test_correlation_agrees_with_numpy_and_ignores_scale() -> None:
    fixed, warped = np.random.default_rng(0).normal(size=(2, 6, 5))
    mask = np.random.default_rng(1).integers(0, 2, size=(6, 5))
    expected = np.corrcoef(fixed[mask > 0], warped[mask > 0])[0, 1]
    assert normalized_cross_correlation(fixed, warped, mask) == pytest.approx(expected)
    assert normalized_cross_correlation(fixed, 7 - 2 * fixed) == pytest.approx(-1)
    assert np.isnan(normalized_cross_correlation(fixed, np.ones_like(fixed)))


def test_correlation_of_other_grids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"warped on the grid of fixed, \(2, 3\), got \(3, 3\)"):
        normalized_cross_correlation(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="mask on the grid of fixed"):
        normalized_cross_correlation(np.ones((2, 3)), np.ones((2, 3)), np.ones(3))


def test_voxels_lie_where_itk_says(image: Any) -> None:
    values = np.asarray(image)
    points = voxel_points(image, np.arange(values.size))
    for value, point in zip(values.ravel(), points.tolist(), strict=True):
        index = image.TransformPhysicalPointToIndex(point)
        assert image.GetPixel(index) == value
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), point, atol=1e-12)


def test_inside_is_up_to_half_a_voxel_beyond_the_centres(image: Any) -> None:
    size = np.array(image.GetLargestPossibleRegion().GetSize())
    dimension = len(size)
    step = rotation(dimension)[:, 0] * SPACINGS[dimension][0]
    corners = voxel_points(image, np.array([0, int(np.prod(size)) - 1]))
    assert is_inside(image, corners - [[0.49], [-0.49]] * step).tolist() == [True, True]
    assert is_inside(image, corners - [[0.51], [-0.51]] * step).tolist() == [False, False]
