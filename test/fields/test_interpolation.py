import subprocess
import sys

import itk
import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.interpolation import (
    sample_grid,
    sample_grid_with_derivatives,
    sample_spline,
    sample_spline_with_derivatives,
)
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


def test_a_position_that_is_nan_harms_no_gradient(dimension: int) -> None:
    """In a process of its own, which PyTorch's gradient in 2D ended."""
    code = f"""
import torch
from itk_nephi.fields.interpolation import sample_grid
values = torch.rand(1, 2, *{SIZES[dimension]!r}, requires_grad=True)
position = torch.rand(16, {dimension})
position[3] = torch.nan
position[5:7] = torch.tensor([[-torch.inf], [torch.inf]])
position.requires_grad_()
sample_grid(values, position).sum().backward()
assert position.grad.isfinite().all() and not position.grad[3].any()
assert abs(values.grad.sum() - 32) < 1e-4
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_derivatives_and_splines_are_nan_only_where_a_position_is(dimension: int) -> None:
    values = torch.rand(*(4,) * dimension, 2, dtype=torch.float64)
    position = positions(dimension, 7)
    position[2] = torch.nan
    for sampled in (
        sample_grid_with_derivatives(values, position)[0],
        sample_spline(values, position),
        sample_spline_with_derivatives(values, position)[0],
    ):
        assert sampled.isnan().any(dim=1).nonzero().tolist() == [[2]]


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


# B-splines


@pytest.fixture
def coefficients(dimension: int) -> Tensor:
    """Those of as many channels as dimensions with SIZES cells."""
    size = (*(n + 3 for n in reversed(SIZES[dimension])), dimension)
    return torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_spline_is_that_of_itk(coefficients: Tensor) -> None:
    dimension = coefficients.shape[-1]
    spline = itk.BSplineTransform[itk.D, dimension, 3].New()
    spline.SetTransformDomainOrigin([-1.0] * dimension)
    spline.SetTransformDomainPhysicalDimensions([2.0] * dimension)
    spline.SetTransformDomainMeshSize(list(SIZES[dimension]))
    parameters = coefficients.movedim(-1, 0).flatten().tolist()
    spline.SetParameters(itk.OptimizerParameters[itk.D](parameters))
    position = positions(dimension, 50)
    expected = [np.array(spline.TransformPoint(p)) - p for p in position.tolist()]
    np.testing.assert_allclose(sample_spline(coefficients, position), expected, atol=1e-13)


def test_the_derivatives_of_a_spline_are_those_of_autograd(coefficients: Tensor) -> None:
    position = positions(coefficients.shape[-1], 20).requires_grad_()
    values, derivatives = sample_spline_with_derivatives(coefficients, position)
    torch.testing.assert_close(values, sample_spline(coefficients, position))
    for channel, value in enumerate(values.unbind(dim=1)):
        (expected,) = torch.autograd.grad(value.sum(), position, retain_graph=True)
        torch.testing.assert_close(derivatives[:, :, channel].T, expected, atol=1e-12, rtol=0)


def test_a_spline_can_be_differentiated_by_coefficients_and_place(coefficients: Tensor) -> None:
    position = positions(coefficients.shape[-1], 3).requires_grad_()
    assert torch.autograd.gradcheck(
        sample_spline_with_derivatives, (coefficients.clone().requires_grad_(), position)
    )


def test_a_spline_of_a_linear_function_is_that_function(dimension: int) -> None:
    slope = torch.tensor([0.7, -1.3, 2.1], dtype=torch.float64)[:dimension]
    cells = SIZES[dimension]
    axes = [2 * torch.arange(-1, n + 2, dtype=torch.float64) / n - 1 for n in cells]
    grid = torch.meshgrid(*reversed(axes), indexing="ij")
    coefficients = sum(s * x for s, x in zip(slope, reversed(grid), strict=True))[..., None]
    ends = torch.cartesian_prod(*[torch.tensor([-1.0, 0.3, 1.0], dtype=torch.float64)] * dimension)
    values, derivatives = sample_spline_with_derivatives(coefficients, ends)
    torch.testing.assert_close(values[:, 0], ends @ slope)
    torch.testing.assert_close(derivatives[..., 0].T, slope.expand(len(ends), -1))
