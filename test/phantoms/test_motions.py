from __future__ import annotations

import numpy as np
import pytest

from itk_nephi.phantoms.motions import Motion, Stretch
from itk_nephi.spatial.domain import Array


@pytest.fixture
def stretches(dimension: int) -> list[Stretch]:
    rng = np.random.default_rng(dimension)
    return [
        Stretch(
            axis=axis % dimension,
            amount=rng.uniform(-6, 6),
            center=rng.uniform(-10, 10, dimension),
            widths=rng.uniform(10, 30, dimension),
            bias=rng.uniform(-1, 1),
        )
        for axis in range(4)
    ]


@pytest.fixture
def points(dimension: int) -> Array:
    return np.random.default_rng(7).uniform(-60, 60, (5, 400, dimension))


def test_a_stretch_has_its_formula(stretches: list[Stretch], points: Array) -> None:
    for stretch in stretches:
        moved = stretch.forward(points)
        for point, found in zip(points[0, :20], moved[0, :20], strict=True):
            across = [
                ((point[j] - stretch.center[j]) / stretch.widths[j]) ** 2
                for j in range(len(point))
                if j != stretch.axis
            ]
            along = (point[stretch.axis] - stretch.center[stretch.axis]) / stretch.widths[
                stretch.axis
            ]
            expected = point.copy()
            expected[stretch.axis] += (
                stretch.amount * np.exp(-sum(across)) * (np.tanh(along) + stretch.bias)
            )
            np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("share", [-0.95, 0.5, 3.0])
def test_a_stretch_is_undone_up_to_where_it_would_fold(points: Array, share: float) -> None:
    dimension = points.shape[-1]
    stretch = Stretch(
        axis=0,
        amount=share * 20.0,
        center=np.zeros(dimension),
        widths=np.full(dimension, 20.0),
        bias=0.5,
    )
    moved = stretch.forward(points)
    assert np.abs(moved - points).max() > 5
    np.testing.assert_allclose(stretch.inverse(moved), points, atol=1e-9)


def test_stretches_follow_one_another_and_are_undone_in_reverse(
    stretches: list[Stretch], points: Array
) -> None:
    motion = Motion(stretches=stretches[:2])
    first, second = stretches[:2]
    np.testing.assert_array_equal(
        motion.fixed_to_moving(points), second.forward(first.forward(points))
    )
    motion = Motion(stretches=stretches)
    moved = motion.fixed_to_moving(points)
    np.testing.assert_allclose(motion.moving_to_fixed(moved), points, atol=1e-9)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(Motion(stretches=stretches[::-1]).moving_to_fixed(moved), points)


@pytest.mark.parametrize("largest", [0.0, 0.5, 7.0])
def test_the_largest_displacement_is_reached(
    stretches: list[Stretch], points: Array, largest: float
) -> None:
    motion = Motion.reaching(largest, points, stretches)
    displacement = np.linalg.norm(motion.fixed_to_moving(points) - points, axis=-1)
    assert displacement.max() == pytest.approx(largest, rel=0.01)
