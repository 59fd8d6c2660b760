from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.losses.objective import LandmarkPairs, ObjectiveWeights, Sampler, objective_terms
from itk_nephi.losses.similarity import correlation
from itk_nephi.spatial.domain import ImageDomain


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


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


EQUAL = ObjectiveWeights(
    gradicon_weight=1.0, inverse_consistency_weight=1.0, latent_prior_weight=1.0
)


def terms(
    deformation: Deformation,
    coords: tuple[Tensor, Tensor],
    *,
    points: int = 20,
    weights: ObjectiveWeights = EQUAL,
    **more: Any,
) -> dict[str, Tensor]:
    return objective_terms(
        deformation.field,
        deformation.inverse_field,
        deformation.code,
        (waves(3.0), waves(4.0)),
        coords,
        dissimilarity=correlation,
        regularizer_points=points,
        voxel=0.1,
        weights=weights,
        **more,
    )


def test_the_objective_is_the_weighted_sum_of_its_terms(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    found = terms(
        deformation,
        coords,
        weights=ObjectiveWeights(
            gradicon_weight=0.7, inverse_consistency_weight=0.2, latent_prior_weight=0.03
        ),
    )
    expected = (
        found["dissimilarity"]
        + 0.7 * found["gradicon"]
        + 0.2 * found["inverse_consistency"]
        + 0.03 * found["latent_prior"]
    )
    assert min(value.item() for value in found.values()) > 1e-3
    torch.testing.assert_close(found["total"], expected)
    unweighted = terms(
        deformation,
        coords,
        weights=ObjectiveWeights(
            gradicon_weight=0.0, inverse_consistency_weight=0.0, latent_prior_weight=0.0
        ),
    )
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
        dissimilarities.append(correlation(values, other_values, weights * other_weights))
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
    torch.testing.assert_close(found["gradicon"], expected)


def test_the_objective_does_not_prefer_a_direction(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    forth = terms(deformation, coords)
    back = objective_terms(
        deformation.inverse_field,
        deformation.field,
        deformation.code,
        (waves(4.0), waves(3.0)),
        (coords[1], coords[0]),
        dissimilarity=correlation,
        regularizer_points=20,
        voxel=0.1,
        weights=EQUAL,
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
    assert found["gradicon"] == 0


def test_every_point_may_serve_the_regularizer(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    few, all_points = terms(deformation, coords), terms(deformation, coords, points=60)
    torch.testing.assert_close(all_points["dissimilarity"], few["dissimilarity"])
    assert all_points["gradicon"] != few["gradicon"]


def test_fields_that_start_as_the_identity_are_consistent_and_stay_so(
    domain: ImageDomain, small_field: FieldSettings, coords: tuple[Tensor, Tensor]
) -> None:
    new = Deformation.identity(domain, small_field, torch.Generator().manual_seed(1))
    penalty = terms(new, coords)["gradicon"]
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
        objective_terms(
            deformation.field,
            deformation.inverse_field,
            deformation.code,
            (only_inside(value), waves(4.0)),
            coords,
            dissimilarity=correlation,
            regularizer_points=20,
            voxel=0.1,
            weights=EQUAL,
        )["dissimilarity"]
        for value in (0.0, 50.0)
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def test_further_terms_join_the_sum_with_their_weights(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    landmarks = LandmarkPairs((coords[0][:4], coords[1][:4]), torch.ones(4), 0.2)
    weights = replace(EQUAL, diffusion_weight=0.2, bending_weight=5.0, folding_weight=7.0)
    found = terms(
        deformation, coords, guide_landmarks=landmarks, landmark_weight=0.3, weights=weights
    )
    plain = terms(deformation, coords)
    assert set(found) - set(plain) == {"landmark", "diffusion", "bending", "folding"}
    expected = plain["total"] + 0.3 * found["landmark"] + 0.2 * found["diffusion"]
    expected = expected + 5 * found["bending"] + 7 * found["folding"]
    torch.testing.assert_close(found["total"], expected)
    for name in plain.keys() - {"total"}:
        assert torch.equal(found[name], plain[name])


def test_weights_of_points_count_in_the_dissimilarity_only(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    some = torch.ones(60)
    some[30:] = 0
    found = terms(deformation, coords, point_weights=(some, some))
    half = terms(deformation, (coords[0][:30], coords[1][:30]))
    torch.testing.assert_close(found["dissimilarity"], half["dissimilarity"])
    plain = terms(deformation, coords)
    assert found["dissimilarity"] != plain["dissimilarity"]
    assert torch.equal(found["gradicon"], plain["gradicon"])


def test_the_misfit_of_landmarks_is_quadratic_near_and_linear_far(dimension: int) -> None:
    goal = torch.zeros(2, dimension, dtype=torch.float64)
    pairs = LandmarkPairs((goal, goal), torch.tensor([1.0, 3.0], dtype=torch.float64), 0.5)
    for distance, expected in ((0.01, 0.01**2 / 0.5), (50.0, 100.0 - 1)):
        moved = goal.clone()
        moved[0, -1] = distance
        # a quarter of the weight lies on the pair that is off
        assert pairs.misfit(moved, goal).item() == pytest.approx(expected / 4, rel=1e-3)


def test_landmarks_count_in_both_directions(
    deformation: Deformation, coords: tuple[Tensor, Tensor]
) -> None:
    code, scale = deformation.code, 0.2
    landmarks = LandmarkPairs((coords[0][:5], coords[1][:5]), torch.ones(5), scale)
    found = terms(deformation, coords, guide_landmarks=landmarks, landmark_weight=1.0)["landmark"]
    moved = deformation.field(coords[0][:5], code), deformation.inverse_field(coords[1][:5], code)
    distances = [
        (there - goal[:5]).norm(dim=1) / scale
        for there, goal in zip(moved, coords[::-1], strict=True)
    ]
    expected = torch.stack([(1 + d.square()).sqrt() - 1 for d in distances]).mean()
    torch.testing.assert_close(found, expected)


def test_a_linear_map_does_not_bend(
    domain: ImageDomain,
    small_field: FieldSettings,
    deformation: Deformation,
    coords: tuple[Tensor, Tensor],
) -> None:
    unmoved = Deformation.identity(domain, small_field, torch.Generator().manual_seed(1))
    assert terms(unmoved, coords, weights=replace(EQUAL, bending_weight=1.0))["bending"] == 0
    code, step = deformation.code, 0.1
    found = terms(deformation, coords, weights=replace(EQUAL, bending_weight=1.0))["bending"]
    expected = []
    for field, points in zip((deformation.field, deformation.inverse_field), coords, strict=True):
        for n, point in enumerate(points[:20]):
            further = point.clone()
            further[n % domain.dimension] += step
            both = field.with_jacobian(torch.stack([point, further]), code)[1]
            expected.append((both[1] - both[0]).square().mean())
    torch.testing.assert_close(found, torch.stack(expected).mean())
