import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.domain import ImageDomain
from itk_nephi.loss import (
    Sampler,
    dissimilarity,
    gradient_inverse_consistency,
    latent_prior,
    objective,
)
from itk_nephi.model import FieldSettings
from itk_nephi.transform import Deformation


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_a_linear_relation_is_perfect_and_an_inverted_one_is_worst(
    generator: torch.Generator,
) -> None:
    values = torch.randn(500, 1, generator=generator, dtype=torch.float64)
    weights = torch.ones(500, dtype=torch.float64)
    for other, expected in ((3 * values + 7, 0.0), (5 - 0.2 * values, 2.0)):
        assert dissimilarity(values, other, weights).item() == pytest.approx(expected, abs=1e-9)


def test_it_is_one_minus_the_correlation_of_numpy_averaged_over_channels(
    generator: torch.Generator,
) -> None:
    fixed, noise = torch.randn(2, 300, 2, generator=generator)
    moving = fixed + torch.tensor([0.5, 2.0]) * noise
    expected = [np.corrcoef(fixed[:, c], moving[:, c])[0, 1] for c in range(2)]
    assert 0.3 < expected[1] < expected[0] < 0.95
    found = dissimilarity(fixed, moving, torch.ones(300))
    assert found.item() == pytest.approx(1 - np.mean(expected), abs=1e-5)


def test_points_without_weight_do_not_count(generator: torch.Generator) -> None:
    fixed, moving = torch.randn(2, 200, 1, generator=generator)
    weights = torch.ones(200)
    weights[50:] = 0
    expected = dissimilarity(fixed[:50], moving[:50], weights[:50])
    fixed[50:], moving[50:] = 1000.0, -1000.0
    torch.testing.assert_close(dissimilarity(fixed, moving, weights), expected)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_constant_sample_and_one_without_weight_are_finite(weight: float) -> None:
    fixed = torch.full((20, 2), 3.0)
    moving = torch.full((20, 2), 4.0, requires_grad=True)
    found = dissimilarity(fixed, moving, torch.full((20,), weight))
    assert found.item() == pytest.approx(1)
    (gradient,) = torch.autograd.grad(found, moving)
    assert torch.isfinite(gradient).all()


def test_an_affine_map_after_its_inverse_is_consistent(
    dimension: int, generator: torch.Generator
) -> None:
    maps = torch.eye(dimension) + 0.3 * torch.randn(5, dimension, dimension, generator=generator)
    inverses: Tensor = torch.linalg.inv(maps)
    assert gradient_inverse_consistency(maps, maps) > 0.01
    assert gradient_inverse_consistency(inverses, maps) < 1e-11


def test_the_identity_after_a_map_has_its_closed_form(
    dimension: int, generator: torch.Generator
) -> None:
    change = 0.1 * torch.randn(dimension, dimension, generator=generator)
    identity = torch.eye(dimension).expand(6, -1, -1)
    for outer, inner in ((identity, identity + change), (identity + change, identity)):
        penalty = gradient_inverse_consistency(outer, inner)
        torch.testing.assert_close(penalty, change.square().mean())


def test_the_composition_of_linear_maps_has_its_closed_form(
    dimension: int, generator: torch.Generator
) -> None:
    one, other = torch.randn(2, 1, dimension, dimension, generator=generator)
    expected = (one @ other - torch.eye(dimension)).square().mean()
    torch.testing.assert_close(gradient_inverse_consistency(one, other), expected)


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
    with torch.no_grad():
        for values in deformation.code.parameters():
            values.zero_()
    prior = latent_prior(deformation.code)
    assert 0 <= prior.item() < 1e-3
    for gradient in torch.autograd.grad(prior, list(deformation.code.parameters())):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def waves(frequency: float) -> Sampler:
    """Two channels everywhere; the right part of the domain counts half."""

    def sample(coords: Tensor) -> tuple[Tensor, Tensor]:
        values = torch.stack([(frequency * coords).sin().sum(1), coords.square().sum(1)], dim=1)
        return values, 1 - 0.5 * (coords[:, 0] > 0).to(coords)

    return sample


@pytest.fixture
def coords(domain: ImageDomain, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    one, other = 2 * torch.rand(2, 60, domain.dimension, generator=generator) - 1
    return one * torch.tensor(domain.bounds), other * torch.tensor(domain.bounds)


def terms(
    deformation: Deformation,
    coords: tuple[Tensor, Tensor],
    *,
    points: int = 20,
    smoothness: float = 1.0,
    inverse_consistency: float = 1.0,
    prior: float = 1.0,
) -> dict[str, Tensor]:
    return objective(
        deformation.field,
        deformation.inverse_field,
        deformation.code,
        (waves(3.0), waves(4.0)),
        coords,
        regularizer_points=points,
        voxel=0.1,
        smoothness=smoothness,
        inverse_consistency=inverse_consistency,
        prior=prior,
    )


def test_the_objective_is_the_weighted_sum_of_its_terms(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    found = terms(deformation, coords, smoothness=0.7, inverse_consistency=0.2, prior=0.03)
    expected = (
        found["dissimilarity"]
        + 0.7 * found["gradient_inverse_consistency"]
        + 0.2 * found["inverse_consistency"]
        + 0.03 * found["latent_prior"]
    )
    assert min(value.item() for value in found.values()) > 1e-3
    torch.testing.assert_close(found["total"], expected)
    unweighted = terms(deformation, coords, smoothness=0.0, inverse_consistency=0.0, prior=0.0)
    torch.testing.assert_close(unweighted["total"], found["dissimilarity"])


def test_the_terms_are_the_means_of_both_directions(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    fields = (deformation.field, deformation.inverse_field)
    images = (waves(3.0), waves(4.0))
    dissimilarities, inconsistencies = [], []
    for here in (0, 1):
        inner, outer = fields[here], fields[1 - here]
        moved = inner(coords[here], deformation.code)
        values, weights = images[here](coords[here])
        other_values, other_weights = images[1 - here](moved)
        dissimilarities.append(dissimilarity(values, other_values, weights * other_weights))
        few = coords[here][:20].clone().requires_grad_()
        round_trip = outer(inner(few, deformation.code), deformation.code)
        rows = [
            torch.autograd.grad(component.sum(), few, retain_graph=True)[0]
            for component in (round_trip - few).unbind(dim=1)
        ]
        inconsistencies.append(torch.stack(rows).square().mean())
    found = terms(deformation, coords)
    expected = torch.stack(dissimilarities).mean()
    torch.testing.assert_close(found["dissimilarity"], expected)
    expected = torch.stack(inconsistencies).mean()
    torch.testing.assert_close(found["gradient_inverse_consistency"], expected)


def test_the_objective_does_not_prefer_a_direction(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    forth = terms(deformation, coords)
    back = objective(
        deformation.inverse_field,
        deformation.field,
        deformation.code,
        (waves(4.0), waves(3.0)),
        (coords[1], coords[0]),
        regularizer_points=20,
        voxel=0.1,
        smoothness=1.0,
        inverse_consistency=1.0,
        prior=1.0,
    )
    for name, value in forth.items():
        torch.testing.assert_close(back[name], value)


def test_a_shift_of_the_round_trip_counts_in_squared_voxels(
    deformation: Deformation, coords: tuple[Tensor, Tensor], domain: ImageDomain
) -> None:
    shifted = Deformation.identity(domain, deformation.settings, torch.Generator())
    with torch.no_grad():
        shifted.field.output.bias.fill_(0.2)
    found = terms(shifted, tuple(points * 0.5 for points in coords))
    torch.testing.assert_close(found["inverse_consistency"], torch.tensor((0.2 / 0.1) ** 2))
    assert found["gradient_inverse_consistency"] == 0


def test_every_point_may_serve_the_regulariser(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    few, all_points = terms(deformation, coords), terms(deformation, coords, points=60)
    torch.testing.assert_close(all_points["dissimilarity"], few["dissimilarity"])
    assert all_points["gradient_inverse_consistency"] != few["gradient_inverse_consistency"]


def test_fields_that_start_as_the_identity_are_consistent_and_stay_so(
    domain: ImageDomain, small_field: FieldSettings, coords: tuple[Tensor, Tensor]
) -> None:
    new = Deformation.identity(domain, small_field, torch.Generator().manual_seed(1))
    penalty = terms(new, coords)["gradient_inverse_consistency"]
    assert penalty.item() == 0
    for gradient in torch.autograd.grad(penalty, new.parameters(), materialize_grads=True):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_point_outside_an_image_leaves_the_dissimilarity_alone(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    def only_inside(values_outside: float) -> Sampler:
        def sample(coords: Tensor) -> tuple[Tensor, Tensor]:
            values, _ = waves(3.0)(coords)
            inside = (coords[:, 0] > 0).to(coords)
            return values * inside[:, None] + values_outside * (1 - inside[:, None]), inside

        return sample

    found = [
        objective(
            deformation.field,
            deformation.inverse_field,
            deformation.code,
            (only_inside(value), waves(4.0)),
            coords,
            regularizer_points=20,
            voxel=0.1,
            smoothness=1.0,
            inverse_consistency=1.0,
            prior=1.0,
        )["dissimilarity"]
        for value in (0.0, 50.0)
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)
