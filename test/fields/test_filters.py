from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.filters import BLOCK, CUT, gaussian
from itk_nephi.spatial.domain import ImageDomain


def direct(image: Tensor, domain: ImageDomain, deviation: float) -> Tensor:
    """The same by its formula, one axis after the other, with whole matrices."""
    for axis, (size, spacing) in enumerate(zip(domain.size, domain.spacing, strict=True)):
        distance = spacing * (np.arange(size)[:, None] - np.arange(size))
        distance = distance / (deviation * domain.voxel_size)
        weights = np.where(np.abs(distance) <= CUT, np.exp(-(distance**2) / 2), 0)
        matrix = torch.tensor(weights / weights.sum(axis=1, keepdims=True))
        image = torch.movedim(
            torch.tensordot(image, matrix, dims=([-1 - axis], [1])), -1, -1 - axis
        )
    return image


@pytest.fixture
def large(domain: ImageDomain) -> ImageDomain:
    """Some axes longer than a block, and no multiple of it."""
    size = (2 * BLOCK + 5, BLOCK + 3, 7)[: domain.dimension]
    return ImageDomain(size, domain.spacing, domain.origin, domain.direction)


def random(domain: ImageDomain, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (1, channels, *domain.size[::-1])
    return torch.rand(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("deviation", [0.4, 1.0, 3.0])
def test_blocks_of_the_matrix_are_the_whole(large: ImageDomain, deviation: float) -> None:
    image = random(large, channels=2)
    expected = direct(image, large, deviation)
    torch.testing.assert_close(gaussian(image, large, deviation), expected)
    assert (expected - image).abs().max() > 0.01


def test_a_point_becomes_a_gaussian_that_is_round_in_physical_space(dimension: int) -> None:
    spacing = (0.8, 1.7, 2.9)[:dimension]
    size = (81, 41, 25)[:dimension]
    domain = ImageDomain(size, spacing, (0.0,) * dimension, tuple(map(tuple, np.eye(dimension))))
    image = torch.zeros(1, 1, *size[::-1], dtype=torch.float64)
    image[(0, 0, *(n // 2 for n in size[::-1]))] = 1
    weights = gaussian(image, domain, 2.0)[0, 0].numpy()
    assert weights.sum() == pytest.approx(1)
    offset = domain.grid_points() - domain.center
    offset = offset.reshape(-1, dimension)
    covariance = offset.T @ (weights.reshape(-1, 1) * offset)
    expected = (2.0 * domain.voxel_size) ** 2 * np.eye(dimension)
    np.testing.assert_allclose(covariance, expected, rtol=0.01, atol=1e-9)


def test_a_constant_stays_up_to_the_border(large: ImageDomain) -> None:
    image = torch.full((1, 1, *large.size[::-1]), 3.5)
    torch.testing.assert_close(gaussian(image, large, 2.0), image)


def test_two_gaussians_are_one_of_the_sum_of_their_variances() -> None:
    domain = ImageDomain((90, 80), (1.0, 1.0), (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
    image = torch.zeros(1, 1, 80, 90, dtype=torch.float64)
    image[0, 0, 30:50, 40:50] = 1
    twice = gaussian(gaussian(image, domain, 3.0), domain, 4.0)
    torch.testing.assert_close(twice, gaussian(image, domain, 5.0), atol=1e-3, rtol=0)


def test_no_deviation_changes_nothing(large: ImageDomain) -> None:
    image = random(large, channels=1)
    assert torch.equal(gaussian(image, large, 0.0), image)
