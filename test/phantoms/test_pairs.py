from collections.abc import Callable
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.phantoms.pairs import Phantom, deformed_shape, lung, triangles_and_circles
from itk_nephi.spatial.domain import ImageDomain

IMAGES = {"fixed", "moving", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels"}


@pytest.fixture(scope="module")
def chest() -> Phantom:
    return lung(size=(72, 60, 54), noise=0, seed=5)


@pytest.fixture(scope="module")
def section() -> Phantom:
    return lung(2, noise=0, seed=2)


@pytest.fixture(scope="module", params=["chest", "section", "shape", "solid"])
def phantom(request: pytest.FixtureRequest) -> Phantom:
    if request.param in ("chest", "section"):
        return request.getfixturevalue(request.param)
    if request.param == "shape":
        return deformed_shape(2, size=80, motion=8, seed=1)
    return deformed_shape(3, size=40, motion=4, seed=1)


def values_at(image: Any, points: np.ndarray) -> np.ndarray:
    interpolator = itk.LinearInterpolateImageFunction.New(image)
    return np.array([interpolator.Evaluate(point) for point in points.tolist()])


def nearest(image: Any, points: np.ndarray) -> np.ndarray:
    index = np.rint(ImageDomain.of(image).index_from_points(points)).astype(int)
    return itk.array_view_from_image(image)[tuple(index.T[::-1])]


def voxels(image: Any) -> np.ndarray:
    return ImageDomain.of(image).grid_points().reshape(-1, image.GetImageDimension())


def inside(image: Any, points: np.ndarray) -> np.ndarray:
    domain = ImageDomain.of(image)
    index = domain.index_from_points(points)
    return ((index >= 0) & (index <= np.array(domain.size) - 1)).all(axis=-1)


def test_the_maps_undo_each_other_everywhere(phantom: Phantom) -> None:
    points = voxels(phantom.pair.fixed_image)
    there_and_back = phantom.moving_to_fixed(phantom.fixed_to_moving(points))
    np.testing.assert_allclose(there_and_back, points, atol=1e-9, rtol=0)
    back_and_there = phantom.fixed_to_moving(phantom.moving_to_fixed(points))
    np.testing.assert_allclose(back_and_there, points, atol=1e-9, rtol=0)


def test_the_inverse_is_exact_at_the_largest_motion() -> None:
    phantom = lung(2, motion=40, seed=3)
    points = voxels(phantom.pair.moving_image)
    there_and_back = phantom.fixed_to_moving(phantom.moving_to_fixed(points))
    np.testing.assert_allclose(there_and_back, points, atol=1e-9, rtol=0)


def test_the_maps_keep_leading_axes(phantom: Phantom) -> None:
    points = phantom.pair.evaluation_landmarks[0][:12].reshape(3, 4, -1)
    expected = phantom.fixed_to_moving(points.reshape(12, -1)).reshape(points.shape)
    np.testing.assert_array_equal(phantom.fixed_to_moving(points), expected)


def test_the_true_map_never_folds(phantom: Phantom) -> None:
    points = voxels(phantom.pair.fixed_image)[::7]
    step = 1e-3
    columns = [
        (phantom.fixed_to_moving(points + e) - phantom.fixed_to_moving(points - e)) / (2 * step)
        for e in step * np.eye(points.shape[1])
    ]
    determinants = np.linalg.det(np.stack(columns, axis=-1))
    assert determinants.min() > 0.3
    assert determinants.std() > 0.01


def test_the_largest_displacement_is_the_motion(chest: Phantom, section: Phantom) -> None:
    for phantom in (chest, section, lung(2, motion=3.5, seed=4)):
        mask = itk.array_view_from_image(phantom.pair.fixed_mask).ravel()
        lungs = voxels(phantom.pair.fixed_image)[mask == 1]
        displacement = np.linalg.norm(phantom.fixed_to_moving(lungs) - lungs, axis=1)
        expected = 3.5 if phantom not in (chest, section) else 30
        assert displacement.max() == pytest.approx(expected, abs=1e-6)


def test_the_largest_displacement_of_a_shape_is_the_motion() -> None:
    for dimension, motion in ((2, 6.4), (3, 2.0)):
        phantom = deformed_shape(dimension, size=64 // dimension * 2, motion=motion, seed=7)
        points = voxels(phantom.pair.fixed_image)
        displacement = np.linalg.norm(phantom.fixed_to_moving(points) - points, axis=1)
        assert displacement.max() == pytest.approx(motion, abs=1e-6)


def test_breathing_moves_the_diaphragm_most_and_along_every_axis(chest: Phantom) -> None:
    fixed, moving = chest.pair.evaluation_landmarks
    displacement = moving - fixed
    assert (np.abs(displacement).max(axis=0) > [2, 2, 20]).all()
    height = fixed[:, 2]
    low, high = height < np.quantile(height, 0.2), height > np.quantile(height, 0.8)
    distance = np.linalg.norm(displacement, axis=1)
    assert distance[low].mean() > 3 * distance[high].mean()


def test_no_motion_is_the_identity() -> None:
    phantom = lung(2, motion=0)
    np.testing.assert_allclose(*phantom.pair.evaluation_landmarks, atol=1e-9)


def test_landmarks_correspond_and_lie_in_the_masks(phantom: Phantom) -> None:
    fixed, moving = phantom.pair.evaluation_landmarks
    np.testing.assert_allclose(phantom.fixed_to_moving(fixed), moving, atol=1e-9, rtol=0)
    for mask, landmarks in (
        (phantom.pair.fixed_mask, fixed),
        (phantom.pair.moving_mask, moving),
    ):
        landmarks = landmarks[inside(mask, landmarks)]
        assert len(landmarks) >= 0.9 * len(fixed)
        assert nearest(mask, landmarks).all()


def test_a_chest_has_over_a_hundred_different_landmarks(chest: Phantom, section: Phantom) -> None:
    for phantom in (chest, section):
        assert len(np.unique(phantom.pair.evaluation_landmarks[0].round(3), axis=0)) >= 100


def test_landmarks_of_a_shape_lie_on_its_boundary() -> None:
    pair = deformed_shape(size=128, seed=1).pair
    landmarks = pair.evaluation_landmarks[0]
    values = values_at(pair.fixed_image, landmarks[inside(pair.fixed_image, landmarks)])
    # linear interpolation across an edge 3 voxels wide, sharper at the corners
    np.testing.assert_allclose(values, 0.5, atol=0.1)


@pytest.mark.parametrize("hollow", [False, True])
def test_a_shape_has_the_intensity_of_the_point_it_came_from(hollow: bool) -> None:
    phantom = deformed_shape(size=128, hollow=hollow, motion=10, seed=1)
    points = voxels(phantom.pair.fixed_image)[::31]
    mapped = phantom.fixed_to_moving(points)
    seen = inside(phantom.pair.moving_image, mapped)
    fixed = itk.array_view_from_image(phantom.pair.fixed_image).ravel()[::31][seen]
    moving = values_at(phantom.pair.moving_image, mapped[seen])
    assert np.abs(values_at(phantom.pair.moving_image, points[seen]) - fixed).max() > 0.5
    # linear interpolation of an edge 3 voxels wide: an eighth of its second derivative
    np.testing.assert_allclose(moving, fixed, atol=0.05)


def test_a_chest_has_the_intensity_of_the_point_it_came_from(
    chest: Phantom, section: Phantom
) -> None:
    for phantom in (chest, section):
        points = voxels(phantom.pair.fixed_image)[::13]
        mapped = phantom.fixed_to_moving(points)
        seen = inside(phantom.pair.moving_image, mapped) & inside(phantom.pair.moving_image, points)
        fixed = itk.array_view_from_image(phantom.pair.fixed_image).ravel()[::13][seen]
        unregistered = np.abs(values_at(phantom.pair.moving_image, points[seen]) - fixed)
        registered = np.abs(values_at(phantom.pair.moving_image, mapped[seen]) - fixed)
        # edges and vessels are a voxel wide: linear interpolation flattens them
        assert registered.mean() < 0.25 * unregistered.mean()


def test_labels_and_masks_correspond(phantom: Phantom) -> None:
    points = voxels(phantom.pair.fixed_image)
    mapped = phantom.fixed_to_moving(points)
    seen = inside(phantom.pair.moving_image, mapped)
    for name in ("mask", "labels"):
        fixed = itk.array_view_from_image(phantom.pair.images[f"fixed_{name}"]).ravel()[seen]
        moving = nearest(phantom.pair.images[f"moving_{name}"], mapped[seen])
        assert set(np.unique(fixed)) == set(np.unique(moving))
        for label in np.unique(fixed):
            overlap = 2 * ((fixed == label) & (moving == label)).sum()
            dice = overlap / ((fixed == label).sum() + (moving == label).sum())
            # rounding to the nearest voxel costs thin airways most
            assert dice > (0.7 if label == 3 else 0.93)


def test_right_and_left_lung_have_their_labels(chest: Phantom) -> None:
    labels = itk.array_view_from_image(chest.pair.labels[0]).ravel()
    points = voxels(chest.pair.fixed_image)
    right, left = points[labels == 1], points[labels == 2]
    assert right[:, 0].max() < left[:, 0].min()
    assert set(np.unique(labels)) == {0, 1, 2, 3}


def test_a_chest_looks_like_computed_tomography(chest: Phantom) -> None:
    values = itk.array_view_from_image(chest.pair.fixed_image)
    lungs = values[itk.array_view_from_image(chest.pair.fixed_mask) == 1]
    assert -880 < np.median(lungs) < -780
    assert lungs.std() > 80
    assert values.min() == pytest.approx(-1000, abs=3)
    assert values.max() > 300


def test_grids_are_anisotropic_turned_and_different(chest: Phantom, section: Phantom) -> None:
    for phantom in (chest, section):
        domains = {name: ImageDomain.of(image) for name, image in phantom.pair.images.items()}
        fixed, moving = domains["fixed"], domains["moving"]
        for domain in (fixed, moving):
            assert max(domain.spacing) > 1.1 * min(domain.spacing)
            direction = np.array(domain.direction)
            identity = np.eye(domain.dimension)
            np.testing.assert_allclose(direction @ direction.T, identity, atol=1e-12)
            assert np.linalg.det(direction) == pytest.approx(1)
            assert np.abs(direction - identity).max() > 0.05
        assert fixed.size != moving.size
        assert fixed.origin != moving.origin
        assert domains["fixed_mask"] == domains["fixed_labels"] == fixed
        assert domains["moving_mask"] == domains["moving_labels"] == moving


def test_images_are_float_and_masks_unsigned_char(phantom: Phantom) -> None:
    assert set(phantom.pair.images) == IMAGES
    for name, image in phantom.pair.images.items():
        pixel = itk.F if name in ("fixed", "moving") else itk.UC
        assert isinstance(image, itk.Image[pixel, image.GetImageDimension()])


@pytest.mark.parametrize("draw", [triangles_and_circles, deformed_shape, lung])
def test_the_same_seed_gives_the_same_bits(draw: Callable[..., Any]) -> None:
    drawn = [draw(2, seed=seed) for seed in (11, 11, 12)]
    first, again, other = (getattr(each, "pair", each).images for each in drawn)
    assert set(first) == IMAGES
    for name in IMAGES:
        values, same = (itk.array_from_image(images[name]) for images in (first, again))
        np.testing.assert_array_equal(values, same)
        assert ImageDomain.of(first[name]) == ImageDomain.of(again[name])
    for name in ("fixed", "moving"):
        values, different = (itk.array_from_image(images[name]) for images in (first, other))
        assert np.abs(values - different).max() > 0.5


def test_noise_is_of_the_asked_strength_and_differs_between_the_images(section: Phantom) -> None:
    noisy = lung(2, noise=40, seed=2).pair
    noise = [
        itk.array_from_image(noisy.images[name]) - itk.array_from_image(section.pair.images[name])
        for name in ("fixed", "moving")
    ]
    assert noise[0].std() == pytest.approx(40, rel=0.03)
    assert noise[1].std() == pytest.approx(40, rel=0.03)
    assert abs(np.corrcoef(noise[0].ravel()[:10000], noise[1].ravel()[:10000])[0, 1]) < 0.05


def test_a_finer_grid_shows_the_same_chest(section: Phantom) -> None:
    finer = lung(2, size=(256, 176), noise=0, seed=2)
    np.testing.assert_array_less(ImageDomain.of(finer.pair.fixed_image).spacing, 1.6)
    points = section.pair.evaluation_landmarks[0][:20]
    moved = finer.fixed_to_moving(points)
    # the amplitude is set by the lungs' voxels, which are others
    np.testing.assert_allclose(moved, section.fixed_to_moving(points), atol=0.5)


def test_solid_shapes_are_filled_and_hollow_ones_are_not() -> None:
    solid, hollow = (triangles_and_circles(hollow=hollow, seed=1) for hollow in (False, True))
    labels = [itk.array_view_from_image(pair.labels[0]) for pair in (solid, hollow)]
    assert 0 < labels[1].sum() < 0.7 * labels[0].sum()
    assert (labels[1] <= labels[0]).mean() > 0.95


def test_triangles_and_circles_are_both_drawn_in_every_dimension() -> None:
    for dimension in (2, 3):
        share = []
        for seed in range(12):
            labels = triangles_and_circles(dimension, size=24, seed=seed).labels[0]
            points = voxels(labels)[itk.array_view_from_image(labels).ravel() == 1]
            distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
            ball = {2: np.pi, 3: 4 / 3 * np.pi}[dimension] * distance.max() ** dimension
            share.append(len(points) / ball)
        assert min(share) < 0.6
        assert max(share) > 0.75


@pytest.mark.parametrize(
    ("draw", "arguments", "message"),
    [
        (lung, {"dimension": 4}, "expected a dimension of 2 or 3, got 4"),
        (triangles_and_circles, {"dimension": 1}, "expected a dimension of 2 or 3, got 1"),
        (deformed_shape, {"dimension": 4}, "expected a dimension of 2 or 3, got 4"),
        (lung, {"size": (96, 80)}, r"at least 16 voxels on each of 3 axes, got \(96, 80\)"),
        (lung, {"size": (96, -80, 72)}, r"at least 16 voxels .* got \(96, -80, 72\)"),
        (triangles_and_circles, {"size": -3}, r"at least 16 voxels .* got \(-3, -3\)"),
        (deformed_shape, {"size": 15}, r"at least 16 voxels .* got \(15, 15\)"),
        (lung, {"motion": -1.0}, "expected a motion of 0 to 40 mm, got -1"),
        (lung, {"motion": float("nan")}, "expected a motion of 0 to 40 mm, got nan"),
        (deformed_shape, {"motion": 6.5}, "expected a motion of 0 to 6.4 mm, got 6.5"),
        (lung, {"noise": -1.0}, "expected noise of at least 0 Hounsfield units, got -1"),
        (lung, {"noise": float("inf")}, "expected noise of at least 0 .* got inf"),
    ],
)
def test_a_bad_argument_is_named(
    draw: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw(**arguments)
