import re
from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
from support.domains import corner_indices

from itk_nephi.spatial.domain import Array, ImageDomain, difference, image_like
from itk_nephi.spatial.preparation import checked_image


def points_in(domain: ImageDomain, count: int, largest: float = 1.0) -> Array:
    """Random points in a box this many times as large as the domain."""
    relative = np.random.default_rng(count).uniform(-largest, largest, (count, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


def test_points_agree_with_itk(image: Any, domain: ImageDomain) -> None:
    assert ImageDomain.of(image) == domain
    for index in corner_indices(domain).tolist():
        expected = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(domain.points_from_index(index), expected, atol=1e-12)
        np.testing.assert_allclose(domain.index_from_points(expected), index, atol=1e-12)
    points = points_in(domain, 9, 1.5)
    found = domain.index_from_points(points)
    for point, index in zip(points.tolist(), found, strict=True):
        expected = np.array(image.TransformPhysicalPointToContinuousIndex(point))
        np.testing.assert_allclose(index, expected, atol=1e-12)


def test_grid_points_are_those_of_the_voxels_in_the_order_of_an_array(
    image: Any, domain: ImageDomain
) -> None:
    points = domain.grid_points()
    assert points.shape == (*reversed(domain.size), domain.dimension)
    for index in corner_indices(domain).tolist():
        expected = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(points[tuple(reversed(index))], np.array(expected), atol=1e-12)


def test_coords_and_points_are_inverse(domain: ImageDomain) -> None:
    points = points_in(domain, 12, 3.0).reshape(3, 4, -1)
    coords = domain.coords_from_points(points)
    np.testing.assert_allclose(domain.points_from_coords(coords), points, atol=1e-12)


def test_coords_are_isotropic_and_end_at_the_outer_voxel_centers(domain: ImageDomain) -> None:
    assert max(domain.bounds) == 1
    corners = domain.points_from_index(corner_indices(domain))
    expected = np.where(corner_indices(domain) > 0, 1, -1) * domain.bounds
    np.testing.assert_allclose(domain.coords_from_points(corners), expected, atol=1e-12)
    one, other = points_in(domain, 2)
    distance = np.linalg.norm(one - other)
    coords = domain.coords_from_points(one) - domain.coords_from_points(other)
    assert np.linalg.norm(coords) * domain.scale == pytest.approx(distance)


def test_the_parts_of_voxels_fill_them(domain: ImageDomain) -> None:
    fine = domain.subdivided(3)
    assert fine.size == tuple(3 * n for n in domain.size)
    shape = [n for size in domain.size[::-1] for n in (size, 3)]
    parts = fine.grid_points().reshape(*shape, domain.dimension)
    centers = parts.mean(axis=tuple(range(1, 2 * domain.dimension, 2)))
    np.testing.assert_allclose(centers, domain.grid_points(), atol=1e-12)
    assert domain.subdivided(1).matches(domain)


def test_lengths_of_a_domain_are_in_mm(domain: ImageDomain) -> None:
    expected = [4.0, 5.1, 5.8][: domain.dimension]
    np.testing.assert_allclose(domain.half_extent, expected)
    assert domain.scale == max(expected)
    assert domain.voxel_size**domain.dimension == pytest.approx(np.prod(domain.spacing))
    np.testing.assert_allclose(domain.points_from_coords(np.zeros(domain.dimension)), domain.center)


def test_the_domain_of_a_region_with_a_start_index_is_where_its_voxels_are(image: Any) -> None:
    dimension = image.GetImageDimension()
    region = itk.ImageRegion[dimension]([3, 2, 1][:dimension], [5, 4, 3][:dimension])
    part = itk.extract_image_filter(image, extraction_region=region)
    assert list(part.GetLargestPossibleRegion().GetIndex()) == [3, 2, 1][:dimension]
    expected = image.TransformIndexToPhysicalPoint([3, 2, 1][:dimension])
    np.testing.assert_allclose(ImageDomain.of(part).origin, np.array(expected), atol=1e-12)
    checked = checked_image(part, "fixed")
    np.testing.assert_array_equal(checked, itk.array_from_image(part))
    assert ImageDomain.of(checked) == ImageDomain.of(part)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (11, 1)}, r"at least two voxels on every axis, got size \(11, 1\)"),
        ({"size": (11, -7)}, r"at least two voxels on every axis, got size \(11, -7\)"),
        ({"size": (11,)}, "an image in 2 or 3 dimensions, got 1"),
        ({"size": (5, 5, 5, 5)}, "an image in 2 or 3 dimensions, got 4"),
        ({"spacing": (1.0, 0.0)}, r"positive spacing, got \(1.0, 0.0\)"),
        ({"spacing": (1.0, float("nan"))}, r"positive spacing, got \(1.0, nan\)"),
        ({"direction": ((1.0, 0.1), (0.0, 1.0))}, "orthonormal direction cosines, got"),
    ],
)
def test_a_bad_domain_is_refused(change: dict[str, Any], message: str) -> None:
    good = ImageDomain((11, 7), (1.0, 1.0), (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
    with pytest.raises(ValueError, match=f"expected {message}"):
        replace(good, **change)


def test_a_domain_matches_itself_up_to_rounding_and_no_other(domain: ImageDomain) -> None:
    shift = np.zeros(domain.dimension)
    shift[-1] = 1e-4
    assert domain.matches(domain)
    assert domain.matches(replace(domain, origin=tuple(domain.origin + shift)))
    assert not domain.matches(replace(domain, origin=tuple(domain.origin + 100 * shift)))
    assert not domain.matches(replace(domain, size=(*domain.size[:-1], domain.size[-1] + 1)))
    spacing = (*domain.spacing[:-1], 1.01 * domain.spacing[-1])
    assert not domain.matches(replace(domain, spacing=spacing))
    turned = np.eye(domain.dimension)[::-1] @ domain.direction
    assert not domain.matches(replace(domain, direction=tuple(tuple(r) for r in turned.tolist())))


def test_a_turned_domain_has_turned_points(domain: ImageDomain) -> None:
    rotation = np.linalg.qr(np.random.default_rng(6).normal(size=(domain.dimension,) * 2))[0]
    expected = domain.grid_points() @ rotation.T
    np.testing.assert_allclose(domain.turned(rotation).grid_points(), expected, atol=1e-12)


def test_canonical_axes_are_closest_to_the_physical_ones(domain: ImageDomain) -> None:
    direction = np.diagonal(domain.canonical().direction)
    assert (direction > 0.5).all()
    assert domain.canonical().canonical() == domain.canonical()


def test_voxels_lie_where_itk_says(image: Any, domain: ImageDomain) -> None:
    values = np.asarray(image)
    points = domain.voxel_points(np.arange(values.size))
    for value, point in zip(values.ravel(), points.tolist(), strict=True):
        index = image.TransformPhysicalPointToIndex(point)
        assert image.GetPixel(index) == value
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), point, atol=1e-12)


def test_twice_as_fine_keeps_the_voxels_and_adds_those_midway(domain: ImageDomain) -> None:
    points, fine = domain.grid_points(), domain.twice_as_fine().grid_points()
    every_other = (slice(None, None, 2),) * domain.dimension
    np.testing.assert_allclose(fine[every_other], points, atol=1e-9)
    assert fine.shape[0] == 2 * points.shape[0] - 1
    np.testing.assert_allclose(fine[(1, *every_other[1:])], (points[0] + points[1]) / 2, atol=1e-9)


def test_a_domain_contains_points_up_to_half_a_voxel_beyond_the_centers(
    domain: ImageDomain,
) -> None:
    first, last = np.zeros(domain.dimension), np.array(domain.size) - 1.0
    for axis in np.eye(domain.dimension):
        for offset, expected in ((0.49, True), (0.51, False)):
            ends = np.array([first - offset * axis, last + offset * axis])
            inside = domain.contains(domain.points_from_index(ends))
            assert inside.tolist() == [expected, expected]


def test_an_image_like_another_lies_where_its_voxels_lie(image: Any, domain: ImageDomain) -> None:
    dimension = domain.dimension
    region = itk.ImageRegion[dimension]([3, 2, 1][:dimension], [5, 4, 3][:dimension])
    part = itk.extract_image_filter(image, extraction_region=region)
    same = image_like(part, itk.array_from_image(part))
    assert ImageDomain.of(same) == ImageDomain.of(part)
    np.testing.assert_array_equal(same, part)


def test_what_differs_is_named_with_enough_digits(domain: ImageDomain) -> None:
    moved = replace(domain, origin=(domain.origin[0] + 4e-6, *domain.origin[1:]))
    words = difference(moved, domain)
    assert words.startswith("origin (")
    ours, others = re.findall(r"\(([^)]*)\)", words)[:2]
    assert ours != others
    turned = replace(domain, direction=tuple(tuple(-x for x in row) for row in domain.direction))
    assert difference(turned, domain).startswith("direction (")
    finer = replace(domain, spacing=tuple(s / 2 for s in domain.spacing))
    assert "spacing (" in difference(finer, domain)


def test_rounding_of_nifti_is_no_other_grid(domain: ImageDomain) -> None:
    far = replace(domain, origin=tuple(x + 52123.4567 for x in domain.origin))
    rounded = replace(far, origin=tuple(float(np.float32(x)) for x in far.origin))
    assert rounded.origin != far.origin
    assert rounded.matches(far)
    shifted = replace(far, origin=tuple(x + 0.05 * min(far.spacing) for x in far.origin))
    assert not shifted.matches(far)
