import numpy as np
import pytest

from itk_nephi.alignment.rotations import (
    angle_between,
    axis_rotations,
    from_quaternion,
    nearest_rotation,
    small_rotations,
)


def test_rotations_of_the_axes_are_a_group(dimension: int) -> None:
    group = axis_rotations(dimension)
    assert len(group) == {2: 4, 3: 24}[dimension]
    np.testing.assert_array_equal(group[0], np.eye(dimension))
    members = {matrix.tobytes() for matrix in group + 0.0}
    assert len(members) == len(group)
    assert all((a @ b + 0.0).tobytes() in members for a in group for b in group)


@pytest.mark.parametrize(("dimension", "furthest"), [(2, 2.51), (3, 23.0)])
def test_no_rotation_is_far_from_the_covering(dimension: int, furthest: float) -> None:
    rng = np.random.default_rng(0)
    if dimension == 3:
        tried = np.array([from_quaternion(q) for q in rng.normal(size=(3000, 4))])
    else:
        angles = rng.uniform(-np.pi, np.pi, 3000)
        tried = np.moveaxis(
            np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]), -1, 0
        )
    nearest = np.full(len(tried), np.pi)
    for small in small_rotations(dimension):
        for axes in axis_rotations(dimension):
            np.testing.assert_allclose(small @ small.T, np.eye(dimension), atol=1e-12)
            nearest = np.minimum(nearest, angle_between(small @ axes, tried))
    assert np.degrees(nearest.max()) < furthest


def test_a_quaternion_is_a_rotation_about_its_axis() -> None:
    angle, axis = 0.7, np.array([1.0, 2.0, -2.0]) / 3
    matrix = from_quaternion(5 * np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)]))
    np.testing.assert_allclose(matrix @ axis, axis, atol=1e-12)
    assert float(angle_between(matrix, np.eye(3))) == pytest.approx(angle)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_the_nearest_rotation_never_mirrors(dimension: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        matrix = rng.normal(size=(dimension, dimension))
        rotation = nearest_rotation(matrix)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(dimension), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        # nearer than any rotation a little off
        for turn in small_rotations(dimension)[1:3]:
            distance = np.linalg.norm(matrix - rotation)
            assert distance <= np.linalg.norm(matrix - turn @ rotation)
