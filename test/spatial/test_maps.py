"""Maps of large images from grids that suffice, against those of every voxel."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from itk_nephi.spatial import maps
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.maps import at_points, coarser, empty_image, interpolate, sampled_transform
from itk_nephi.spatial.transforms import flatten, transform_points


def test_a_coarser_grid_goes_from_the_first_voxel_to_the_last(domain: ImageDomain) -> None:
    count = math.prod(domain.size)
    assert coarser(domain, count) is domain
    grid = coarser(domain, count / 4)
    assert math.prod(grid.size) < count / 2
    corners = np.array([[0.0] * domain.dimension, [1.0] * domain.dimension])
    ends = [corners * (np.array(each.size) - 1) for each in (domain, grid)]
    np.testing.assert_allclose(
        grid.points_from_index(ends[1]), domain.points_from_index(ends[0]), rtol=1e-12
    )
    assert grid.direction == domain.direction


def test_voxels_longer_than_others_are_not_left_out_first() -> None:
    rows = tuple(map(tuple, np.eye(3).tolist()))
    thick = ImageDomain((101, 101, 20), (0.5, 0.5, 3.0), (0.0, 0.0, 0.0), rows)
    assert coarser(thick, 60_000).size == (51, 51, 20)


def test_values_at_points_are_those_of_the_closest_voxels(domain: ImageDomain) -> None:
    grid = coarser(domain, math.prod(domain.size) / 4)
    values = np.random.default_rng(0).random(domain.size[::-1]) < 0.5
    index = np.rint(domain.index_from_points(grid.grid_points()) - 1e-9).astype(int)
    expected = values[tuple(np.moveaxis(index, -1, 0)[::-1])]
    found = at_points(values, domain, grid)
    assert found.shape == grid.size[::-1]
    same = np.abs(domain.index_from_points(grid.grid_points()) % 1 - 0.5).min(axis=-1) > 1e-6
    np.testing.assert_array_equal(found[same], expected[same])
    assert at_points(values, domain, domain) is values


def test_interpolation_is_exact_for_what_is_linear(domain: ImageDomain) -> None:
    grid = coarser(domain, math.prod(domain.size) / 4)
    slope = np.arange(1.0, domain.dimension + 1)
    image = image_from_array((grid.grid_points() @ slope).astype(np.float32), grid)
    reference = empty_image(domain)
    found = interpolate(image, reference)
    assert ImageDomain.of(found).matches(domain)
    np.testing.assert_allclose(found, domain.grid_points() @ slope, rtol=1e-5)
    assert interpolate(image, empty_image(grid)) is image


def test_only_large_images_and_neural_transforms_are_sampled(
    domain: ImageDomain, diffeomorphism: Any, affine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = empty_image(domain)
    assert sampled_transform(diffeomorphism, reference) is diffeomorphism
    monkeypatch.setattr(maps, "MAX_DISPLACEMENTS", 10)
    assert sampled_transform(affine, reference) is affine
    sampled = sampled_transform(diffeomorphism, reference)
    assert [part.GetNameOfClass() for part in flatten(sampled)] == ["DisplacementFieldTransform"]


def test_a_sampled_transform_is_close_to_the_transform_up_to_the_border(
    domain: ImageDomain, diffeomorphism: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = replace(
        domain,
        size=tuple(8 * (n - 1) + 1 for n in domain.size),
        spacing=tuple(s / 8 for s in domain.spacing),
    )
    monkeypatch.setattr(maps, "MAX_DISPLACEMENTS", math.prod(fine.size) / 8)
    sampled = sampled_transform(diffeomorphism, empty_image(fine))
    points = fine.grid_points().reshape(-1, domain.dimension)
    points = points[:: max(1, len(points) // 5000)]
    exact = transform_points(diffeomorphism, points)
    error = np.linalg.norm(transform_points(sampled, points) - exact, axis=1)
    assert np.linalg.norm(exact - points, axis=1).max() > 5
    assert error.max() < 0.2 * max(fine.spacing)
