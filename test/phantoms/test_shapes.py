import numpy as np
import pytest

from itk_nephi.phantoms.shapes import FACES, Shape


def test_a_triangle_is_that_of_the_published_code() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (500, 2))
    center, radius = np.array([0.45, 0.6]), 0.35
    shape = Shape(center=center, radius=radius, faces=FACES[2], edge=1 / 40, hollow=False)
    x, y = (points - center).T
    angle = np.mod(np.arctan2(y, x) + np.pi / 3, 2 * np.pi / 3) - np.pi / 3
    level = np.hypot(x, y) - radius * np.cos(np.pi / 3) / np.cos(angle)
    expected = (np.tanh(-40 * level) + 1) / 2
    np.testing.assert_allclose(shape.intensity(points), expected, atol=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_shape_is_bounded_even_at_its_center(dimension: int) -> None:
    center = np.full(dimension, 0.5)
    for faces in (None, FACES[dimension]):
        shape = Shape(center=center, radius=0.3, faces=faces, edge=1 / 40, hollow=False)
        assert shape.intensity(center[None]) == pytest.approx([1], abs=1e-3)
