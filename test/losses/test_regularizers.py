import pytest
import torch
from torch import Tensor

from itk_nephi.fields.deformation import Deformation
from itk_nephi.losses.regularizers import (
    diffusion_energy,
    folding_penalty,
    gradicon,
    latent_prior,
    lattice_diffusion,
)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_an_affine_map_after_its_inverse_is_consistent(
    dimension: int, generator: torch.Generator
) -> None:
    maps = torch.eye(dimension) + 0.3 * torch.randn(5, dimension, dimension, generator=generator)
    inverses: Tensor = torch.linalg.inv(maps)
    assert gradicon(maps, maps) > 0.01
    assert gradicon(inverses, maps) < 1e-11


def test_the_identity_after_a_map_has_its_closed_form(
    dimension: int, generator: torch.Generator
) -> None:
    change = 0.1 * torch.randn(dimension, dimension, generator=generator)
    identity = torch.eye(dimension).expand(6, -1, -1)
    for outer, inner in ((identity, identity + change), (identity + change, identity)):
        penalty = gradicon(outer, inner)
        torch.testing.assert_close(penalty, change.square().mean())


def test_the_composition_of_linear_maps_has_its_closed_form(
    dimension: int, generator: torch.Generator
) -> None:
    one, other = torch.randn(2, 1, dimension, dimension, generator=generator)
    expected = (one @ other - torch.eye(dimension)).square().mean()
    torch.testing.assert_close(gradicon(one, other), expected)


def test_the_penalties_of_linear_maps_have_their_closed_forms(
    dimension: int, generator: torch.Generator
) -> None:
    identity = torch.eye(dimension).expand(6, -1, -1)
    change = 0.1 * torch.randn(dimension, dimension, generator=generator)
    assert diffusion_energy(identity) == 0
    torch.testing.assert_close(diffusion_energy(identity + change), change.square().mean())
    assert folding_penalty(identity) == 0
    assert folding_penalty(0.5 * identity) == 0
    mirrored = identity.clone()
    mirrored[:3, 0, 0] = -0.4
    # half of the points fall short of 0.1 by half
    torch.testing.assert_close(folding_penalty(mirrored), torch.tensor(0.5 * 0.5**2))


def test_the_diffusion_energy_of_a_linear_displacement_is_that_of_its_derivatives(
    dimension: int, generator: torch.Generator
) -> None:
    change = torch.randn(dimension, dimension, generator=generator)
    size, steps = (9, 5, 6)[:dimension], (0.5, 2.0, 0.3)[:dimension]
    axes = [step * torch.arange(n) for step, n in zip(steps, size, strict=True)]
    points = torch.stack(torch.meshgrid(*axes[::-1], indexing="ij")[::-1])
    displacement = torch.einsum("de,e...->d...", change, points)
    # there is one difference less than there are points along an axis
    shares = torch.tensor([(n - 1) / n for n in size])
    expected = (change.square() * shares).mean()
    weights = torch.ones(size[::-1])
    torch.testing.assert_close(lattice_diffusion(displacement, weights, steps), expected)
    torch.testing.assert_close(lattice_diffusion(displacement, 3 * weights, steps), 3 * expected)
    assert lattice_diffusion(displacement + 7, weights, steps).isclose(expected)


def test_the_diffusion_energy_is_that_of_places_with_weight(
    dimension: int, generator: torch.Generator
) -> None:
    size = (6,) * dimension
    displacement = torch.randn(dimension, *size, generator=generator)
    displacement[..., 3:] = 1.0
    weights = torch.zeros(size)
    weights[..., 4:] = 1.0
    assert lattice_diffusion(displacement, weights, (1.0,) * dimension) == 0
    weights[..., 2] = 1.0
    assert lattice_diffusion(displacement, weights, (1.0,) * dimension) > 0.1


def test_the_prior_is_the_norm_of_the_global_and_the_mean_norm_of_the_local_code(
    deformation: Deformation,
) -> None:
    code = deformation.code
    local = [float(values.norm()) for values in code.local_code.detach().flatten(0, -2)]
    expected = float(code.global_code.detach().norm()) + sum(local) / len(local)
    assert latent_prior(code).item() == pytest.approx(expected, rel=1e-5)


def test_the_prior_of_no_code_is_about_zero_and_so_is_its_gradient(
    deformation: Deformation,
) -> None:
    codes = deformation.code.global_code, deformation.code.local_code
    with torch.no_grad():
        for values in codes:
            values.zero_()
    prior = latent_prior(deformation.code)
    assert 0 <= prior.item() < 1e-3
    for gradient in torch.autograd.grad(prior, codes):
        assert torch.equal(gradient, torch.zeros_like(gradient))
