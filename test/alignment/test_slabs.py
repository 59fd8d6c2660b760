from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from itk_nephi.alignment.alignment import align
from itk_nephi.alignment.slabs import Slab
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.transforms import transform_points

THICKNESS = 5.0
SHIFT, TURN = np.array([4.0, -3.0]), np.radians(20)
MATRIX = np.array([[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]])


def slab(count: int, axis: int, *, moved: bool = False, first: float = 0.0) -> Any:
    """Blobs in space, of which a few slices lie across an axis; moved within their planes."""
    rng = np.random.default_rng(3)
    centers = rng.uniform(-18, 18, (20, 3))
    centers[:, 2] = rng.uniform(0, 20, 20)
    heights = rng.uniform(0.3, 1, 20)
    size, spacing, origin = [44, 40, count], [1.0, 1.0, THICKNESS], [-22.0, -20.0, first]
    order = [0, 1]
    order.insert(axis, 2)
    domain = ImageDomain(
        size=tuple(size[n] for n in order),
        spacing=tuple(spacing[n] for n in order),
        origin=tuple(origin[n] for n in order),
        direction=tuple(map(tuple, np.eye(3).tolist())),
    )
    points = domain.grid_points()[..., np.argsort(order)]
    if moved:
        points = points.copy()
        points[..., :2] = (points[..., :2] - SHIFT) @ MATRIX
    squares = (points[..., None, :] - centers) ** 2 / np.array([16, 16, 36])
    values = (heights * np.exp(-squares.sum(axis=-1))).sum(axis=-1)
    values += rng.normal(0, 0.01, values.shape)
    return image_from_array(values.astype(np.float32), domain)


@pytest.mark.parametrize("degrees_of_freedom", ["affine", "rigid"])
@pytest.mark.parametrize(("count", "axis"), [(2, 2), (3, 2), (4, 0)])
def test_few_slices_are_aligned_within_their_planes(
    count: int, axis: int, degrees_of_freedom: str, caplog: pytest.LogCaptureFixture
) -> None:
    fixed, moving = slab(count, axis), slab(count, axis, moved=True)
    with caplog.at_level(logging.WARNING):
        found = align(fixed, moving, degrees_of_freedom=degrees_of_freedom)
    assert "aligned within their planes" in caplog.text
    points = ImageDomain.of(fixed).grid_points().reshape(-1, 3)[::7]
    result = transform_points(found.transform, points)
    np.testing.assert_allclose(result[:, axis], points[:, axis], atol=1e-6)
    expected = np.delete(points, axis, axis=1) @ MATRIX.T + SHIFT
    errors = np.linalg.norm(np.delete(result, axis, axis=1) - expected, axis=1)
    assert errors.mean() < 0.1


def test_slices_that_lie_elsewhere_meet_at_their_centers() -> None:
    fixed, far = slab(3, 2), slab(3, 2, moved=True)
    far.SetOrigin([-22.0, -20.0, 700.0])
    found = align(fixed, far, degrees_of_freedom="rigid")
    moved = transform_points(found.transform, [[0.0, 0.0, 5.0], [3.0, 8.0, 10.0]])
    np.testing.assert_allclose(moved[:, 2], [705, 710], atol=1e-6)


def test_a_slab_and_a_volume_are_aligned_in_all_directions() -> None:
    thick = (np.array([44, 40, 3]), np.array([44, 40, 30]))
    assert not Slab.of(thick, np.eye(4))
    tilted: Array = np.eye(4)[[0, 2, 1, 3]]
    thin = (np.array([44, 40, 3]), np.array([44, 40, 3]))
    assert not Slab.of(thin, tilted)
    assert Slab.of(thin, np.eye(4))
    assert Slab.of((np.array([44, 40, 3]), np.array([44, 3, 40])), tilted)
    assert not Slab.of((np.array([3, 3, 3]), np.array([3, 3, 3])), np.eye(4))
