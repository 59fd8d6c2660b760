from __future__ import annotations

import numpy as np
import pytest

from itk_nephi.phantoms.chest import AXES, Chest, tube_level
from itk_nephi.spatial.domain import Array

CENTER = np.array([3.0, -20.0, 150.0])


@pytest.fixture(scope="module", params=[2, 3])
def kept(request: pytest.FixtureRequest) -> list[int]:
    return AXES[request.param]


@pytest.fixture(scope="module")
def chest(kept: list[int]) -> Chest:
    return Chest(np.random.default_rng(1), CENTER[kept], blur=1.0)


@pytest.fixture(scope="module")
def points(kept: list[int]) -> Array:
    """A grid over the whole chest and some air around it."""
    axes = [np.arange(-half, half + 1, 6.0) for half in np.array([150.0, 110.0, 130.0])[kept]]
    return CENTER[kept] + np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def test_a_tube_is_a_cone_between_its_ends() -> None:
    rng = np.random.default_rng(0)
    start, end, first, last = np.array([1.0, 2.0, 3.0]), np.array([4.0, -6.0, 9.0]), 3.0, 1.5
    points = rng.uniform(-15, 15, (40, 50, 3))
    along = np.clip((points - start) @ (end - start) / np.sum((end - start) ** 2), 0, 1)
    nearest = start + along[..., None] * (end - start)
    depth = first + (last - first) * along - np.linalg.norm(points - nearest, axis=-1)
    found = tube_level([(start, end, first, last)], points, reach=4.0)
    np.testing.assert_allclose(found, np.maximum(depth, -4.0), atol=1e-12)
    other = tube_level([(end, 2 * end, 1.0, 1.0)], points, reach=4.0)
    both = tube_level([(start, end, first, last), (end, 2 * end, 1.0, 1.0)], points, reach=4.0)
    np.testing.assert_array_equal(both, np.maximum(found, other))


def test_values_do_not_depend_on_which_points_are_drawn_together(
    chest: Chest, points: Array
) -> None:
    for whole, part in zip(chest.draw(points), chest.draw(points[1:3]), strict=True):
        np.testing.assert_array_equal(whole[1:3], part)


def test_lungs_are_of_air_and_what_is_around_the_body_too(chest: Chest, points: Array) -> None:
    hounsfield, in_lung, labels = chest.draw(points)
    np.testing.assert_array_equal(in_lung, chest.lung_level(points) > 0)
    deep = (chest.lung_level(points) > 5) & (labels != 3)
    # a fifth of the lung at least is free of vessels
    assert np.quantile(hounsfield[deep], 0.2) == pytest.approx(-855, abs=60)
    assert np.all(hounsfield[np.abs(points[..., 0] - CENTER[0]) > 148] < -990)
    assert hounsfield.min() >= -1000
    assert hounsfield.max() <= 550


def test_the_right_lung_is_label_1_the_left_2_and_airways_3(chest: Chest, points: Array) -> None:
    _, in_lung, labels = chest.draw(points)
    x = points[..., 0] - CENTER[0]
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert (x[labels == 1] < 0).all()
    assert (x[labels == 2] >= 0).all()
    assert set(np.unique(labels[in_lung])) <= {1, 2, 3}


def test_vessels_fork_in_the_lungs_and_the_fork_is_bright(chest: Chest) -> None:
    assert len(chest.forks) > 20
    hounsfield, in_lung, _ = chest.draw(chest.forks)
    assert in_lung.mean() > 0.8
    assert np.median(hounsfield[in_lung]) > -200  # the lung around them has about -855


def test_the_generator_alone_decides_the_anatomy() -> None:
    points = CENTER + np.random.default_rng(2).uniform(-100, 100, (500, 3))
    one, same, other = (
        Chest(np.random.default_rng(seed), CENTER, blur=1.0).draw(points)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 100
