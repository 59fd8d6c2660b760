import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.interpolation import sample_grid, sample_grid_with_derivatives
from itk_nephi.spatial.domain import Array

SIZES = {2: (4, 3), 3: (4, 3, 5)}


@pytest.fixture
def values(dimension: int) -> Tensor:
    """A grid of 2 channels, shape (k, j, i, 2)."""
    size = (*reversed(SIZES[dimension]), 2)
    return torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def positions(dimension: int, count: int, largest: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    position = torch.rand(count, dimension, generator=generator, dtype=torch.float64)
    return largest * (2 * position - 1)


def multilinear(values: Array, position: Array) -> Array:
    """Interpolate at one position, as plainly as numpy allows."""
    size = np.array(values.shape[-2::-1])
    index = np.clip((position + 1) / 2 * (size - 1), 0, size - 1)
    lower = np.minimum(index.astype(int), size - 2)
    result = np.zeros(values.shape[-1])
    for step in np.ndindex(*(2,) * len(size)):
        vertex = lower + step
        result += np.prod(1 - np.abs(index - vertex)) * values[tuple(vertex[::-1])]
    return result


@pytest.mark.parametrize("count", [0, 1, 7, 16])
@pytest.mark.parametrize("largest", [1.0, 1.6])
def test_values_are_multilinear_and_clamped(values: Tensor, count: int, largest: float) -> None:
    dimension = values.ndim - 1
    position = positions(dimension, count, largest)
    expected = np.array([multilinear(values.numpy(), p) for p in position.numpy()]).reshape(-1, 2)
    sampled = sample_grid(values.movedim(-1, 0)[None], position)
    np.testing.assert_allclose(sampled, expected, atol=1e-14)
    sampled, _ = sample_grid_with_derivatives(values, position)
    np.testing.assert_allclose(sampled, expected, atol=1e-14)


def test_values_agree_with_torch(values: Tensor) -> None:
    position = positions(values.ndim - 1, 16, 1.3)
    expected = torch.nn.functional.grid_sample(
        values.movedim(-1, 0)[None],
        position.view(1, *(1,) * (position.shape[1] - 1), *position.shape),
        align_corners=True,
        padding_mode="border",
    )
    sampled, _ = sample_grid_with_derivatives(values, position)
    torch.testing.assert_close(sampled, expected.view(2, -1).T, atol=1e-14, rtol=0)


def test_a_vertex_has_its_own_value(values: Tensor) -> None:
    size = torch.tensor(values.shape[-2::-1])
    index = torch.cartesian_prod(*(torch.arange(n) for n in size))
    position = 2 * index.double() / (size - 1) - 1
    expected = values[tuple(index.flip(1).T)]
    sampled = sample_grid(values.movedim(-1, 0)[None], position)
    torch.testing.assert_close(sampled, expected, atol=1e-14, rtol=0)
    sampled, _ = sample_grid_with_derivatives(values, position)
    torch.testing.assert_close(sampled, expected, atol=1e-14, rtol=0)


def test_derivatives_are_those_of_autograd(values: Tensor) -> None:
    position = positions(values.ndim - 1, 20).requires_grad_()
    sampled, derivatives = sample_grid_with_derivatives(values, position)
    for channel in range(2):
        (expected,) = torch.autograd.grad(sampled[:, channel].sum(), position, retain_graph=True)
        torch.testing.assert_close(derivatives[:, :, channel].T, expected, atol=1e-13, rtol=0)


def test_derivatives_can_be_differentiated_by_values_and_place(values: Tensor) -> None:
    position = positions(values.ndim - 1, 6).requires_grad_()
    assert torch.autograd.gradcheck(
        sample_grid_with_derivatives, (values.clone().requires_grad_(), position)
    )


def test_a_linear_function_has_its_slope_at_every_vertex(dimension: int) -> None:
    slope = torch.tensor([0.7, -1.3, 2.1], dtype=torch.float64)[:dimension]
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in SIZES[dimension]]
    position = torch.cartesian_prod(*axes)
    grid = (position @ slope).view(SIZES[dimension]).permute(*range(dimension)[::-1])
    sampled, derivatives = sample_grid_with_derivatives(grid[..., None], position)
    torch.testing.assert_close(sampled[:, 0], position @ slope)
    torch.testing.assert_close(derivatives[..., 0].T, slope.expand(len(position), -1))
