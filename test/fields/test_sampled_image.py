from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.fields.sampled_image import SampledImage, SampledTransform, tensor_from_image
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array


def points_in(domain: ImageDomain, count: int, largest: float = 1.0) -> Array:
    """Random points in a box this many times as large as the domain."""
    relative = np.random.default_rng(count).uniform(-largest, largest, (count, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


def test_an_image_survives_the_way_to_a_tensor_and_back(image: Any, domain: ImageDomain) -> None:
    tensor = tensor_from_image(image)
    assert tensor.shape == (1, 1, *reversed(domain.size))
    again = image_from_array(tensor[0, 0].numpy(), domain)
    np.testing.assert_array_equal(again, image)
    assert ImageDomain.of(again) == domain


def other_domain(dimension: int) -> ImageDomain:
    """A domain that meets the fixture's, turned the other way and of other voxels."""
    c, s = np.cos(-0.3), np.sin(-0.3)
    direction = np.eye(dimension)
    direction[:2, :2] = [[c, -s], [s, c]]
    return ImageDomain(
        size=(9, 12, 6)[:dimension],
        spacing=(1.1, 0.9, 2.3)[:dimension],
        origin=(-36.0, 12.0, 106.0)[:dimension],
        direction=tuple(tuple(row) for row in direction.tolist()),
    )


def assert_sampled_as_by_itk(
    image: Any, sampled: SampledImage, points: Array, coords: Array
) -> None:
    """Compare what is found at coords with what ITK interpolates at the points they map to."""
    values, inside = sampled(torch.tensor(coords, dtype=torch.float32))
    grid = ImageDomain.of(image)
    index = grid.index_from_points(points)
    last = np.array(grid.size) - 1
    expected_inside = ((index >= 0) & (index <= last)).all(axis=1)
    assert 20 < expected_inside.sum() < len(points)
    np.testing.assert_array_equal(inside, expected_inside)
    interpolator = itk.LinearInterpolateImageFunction.New(image)
    clamped = np.clip(index, 0, last).tolist()
    expected = [interpolator.EvaluateAtContinuousIndex(index) for index in clamped]
    # float32 coords: about 1e-6 of a dozen voxels, times a slope of a few units a voxel
    np.testing.assert_allclose(values[:, 0], expected, atol=5e-5)


def test_sampling_on_its_own_domain_agrees_with_itk(image: Any, domain: ImageDomain) -> None:
    points = points_in(domain, 200, 1.2)
    sampled = SampledImage(tensor_from_image(image), domain, domain)
    assert_sampled_as_by_itk(image, sampled, points, domain.coords_from_points(points))


def test_sampling_from_another_domain_agrees_with_itk(image: Any, domain: ImageDomain) -> None:
    other = other_domain(domain.dimension)
    points = points_in(other, 400)
    sampled = SampledImage(tensor_from_image(image), domain, other)
    assert_sampled_as_by_itk(image, sampled, points, other.coords_from_points(points))


@pytest.mark.parametrize("seed", range(40))
def test_all_voxels_of_an_image_lie_in_it(seed: int) -> None:
    generator = np.random.default_rng(seed)
    dimension = 2 + seed % 2
    direction = np.linalg.qr(generator.normal(size=(dimension, dimension)))[0]
    domain = ImageDomain(
        size=tuple(map(int, generator.integers(2, 21, dimension))),
        spacing=tuple(10 ** generator.uniform(-3, 2, dimension)),
        origin=tuple(generator.uniform(-500, 500, dimension)),
        direction=tuple(map(tuple, direction.tolist())),
    )
    values = torch.zeros(1, 1, *reversed(domain.size))
    coords = domain.coords_from_points(domain.grid_points().reshape(-1, dimension))
    inside = SampledImage(values, domain, domain)(torch.tensor(coords, dtype=torch.float32))[1]
    assert inside.all()


def test_sampling_through_an_affine_map_agrees_with_itk(image: Any, domain: ImageDomain) -> None:
    dimension = domain.dimension
    other = other_domain(dimension)
    matrix = np.eye(dimension) + np.random.default_rng(2).uniform(-0.2, 0.2, (dimension, dimension))
    offset = domain.center - matrix @ other.center + 0.5
    affine = itk.AffineTransform[itk.D, dimension].New()
    affine.SetMatrix(itk.matrix_from_array(matrix))
    affine.SetTranslation(offset.tolist())
    points = points_in(other, 400)
    moved = np.array([affine.TransformPoint(point) for point in points.tolist()])
    sampled = SampledImage(
        tensor_from_image(image), domain, other, SampledTransform(matrix, offset)
    )
    assert_sampled_as_by_itk(image, sampled, moved, other.coords_from_points(points))


def test_sampling_through_a_displacement_agrees_with_itk(image: Any, domain: ImageDomain) -> None:
    dimension = domain.dimension
    other = other_domain(dimension)
    size = (5, 4, 3)[:dimension]
    spacing = tuple((2.1 * other.half_extent / (np.array(size) - 1)).tolist())
    grid = replace(other, size=size, spacing=spacing)
    displacement = np.random.default_rng(4).uniform(-2, 2, (*reversed(size), dimension))
    vector = itk.Image[itk.Vector[itk.D, dimension], dimension]
    field = itk.image_view_from_array(displacement, ttype=[vector])
    field.SetOrigin(grid.origin)
    field.SetSpacing(grid.spacing)
    field.SetDirection(np.array(grid.direction))
    transform = itk.DisplacementFieldTransform[itk.D, dimension].New()
    transform.SetDisplacementField(field)
    points = points_in(other, 400, 0.95)
    moved = np.array([transform.TransformPoint(point) for point in points.tolist()])
    assert np.abs(moved - points).max() > 1
    space_map = SampledTransform(np.eye(dimension), np.zeros(dimension), displacement, grid)
    sampled = SampledImage(tensor_from_image(image), domain, other, space_map)
    assert_sampled_as_by_itk(image, sampled, moved, other.coords_from_points(points))


def test_every_channel_is_sampled_and_differentiable(image: Any, domain: ImageDomain) -> None:
    values = tensor_from_image(image)
    sampled = SampledImage(torch.cat([values, 2 * values], dim=1), domain, domain)
    coords = torch.tensor(domain.coords_from_points(points_in(domain, 8)), dtype=torch.float32)
    found, _ = sampled(coords.requires_grad_())
    torch.testing.assert_close(found[:, 1], 2 * found[:, 0])
    (gradient,) = torch.autograd.grad(found.sum(), coords)
    assert gradient.abs().min() > 0
