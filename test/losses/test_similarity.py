import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.filters import gaussian
from itk_nephi.losses.similarity import (
    BINS,
    SIMILARITIES,
    Dissimilarity,
    Similarity,
    correlation,
    mean_squares,
    mutual_information,
    weighted,
)
from itk_nephi.spatial.domain import ImageDomain

DISSIMILARITIES = [correlation, mean_squares, mutual_information]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_a_linear_relation_is_perfect_and_an_inverted_one_is_worst(
    generator: torch.Generator,
) -> None:
    values = torch.randn(500, 1, generator=generator, dtype=torch.float64)
    weights = torch.ones(500, dtype=torch.float64)
    for other, expected in ((3 * values + 7, 0.0), (5 - 0.2 * values, 2.0)):
        assert correlation(values, other, weights).item() == pytest.approx(expected, abs=1e-9)


def test_it_is_one_minus_the_correlation_of_numpy_averaged_over_channels(
    generator: torch.Generator,
) -> None:
    fixed, noise = torch.randn(2, 300, 2, generator=generator)
    moving = fixed + torch.tensor([0.5, 2.0]) * noise
    expected = [np.corrcoef(fixed[:, c], moving[:, c])[0, 1] for c in range(2)]
    assert 0.3 < expected[1] < expected[0] < 0.95
    found = correlation(fixed, moving, torch.ones(300))
    assert found.item() == pytest.approx(1 - np.mean(expected), abs=1e-5)


def test_points_without_weight_do_not_count(generator: torch.Generator) -> None:
    fixed, moving = torch.randn(2, 200, 1, generator=generator)
    weights = torch.ones(200)
    weights[50:] = 0
    expected = correlation(fixed[:50], moving[:50], weights[:50])
    fixed[50:], moving[50:] = 1000.0, -1000.0
    torch.testing.assert_close(correlation(fixed, moving, weights), expected)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_constant_sample_and_one_without_weight_are_finite(weight: float) -> None:
    fixed = torch.full((20, 2), 3.0)
    moving = torch.full((20, 2), 4.0, requires_grad=True)
    found = correlation(fixed, moving, torch.full((20,), weight))
    assert found.item() == pytest.approx(1)
    (gradient,) = torch.autograd.grad(found, moving)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("compare", DISSIMILARITIES)
def test_every_gradient_agrees_with_differences(
    compare: Dissimilarity, generator: torch.Generator
) -> None:
    fixed, moving = torch.rand(2, 12, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(12, generator=generator, dtype=torch.float64)
    moving.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: compare(fixed, values, weights), moving)


@pytest.mark.parametrize("compare", DISSIMILARITIES)
def test_a_weight_of_zero_is_as_good_as_leaving_out_and_of_two_as_taking_twice(
    compare: Dissimilarity, generator: torch.Generator
) -> None:
    fixed, moving = torch.rand(2, 60, 1, generator=generator, dtype=torch.float64)
    weights = torch.cat([torch.zeros(20), torch.full((20,), 0.5), torch.ones(20)])
    twice = [torch.cat([values[20:], values[40:]]) for values in (fixed, moving)]
    expected = compare(*twice, torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(compare(fixed, moving, weights.double()), expected)


@pytest.mark.parametrize("compare", DISSIMILARITIES)
def test_no_dissimilarity_fails_on_flat_samples_or_without_weight(compare: Dissimilarity) -> None:
    for weight in (0.0, 1.0):
        moving = torch.full((20, 2), 0.4, requires_grad=True)
        found = compare(torch.full((20, 2), 0.3), moving, torch.full((20,), weight))
        (gradient,) = torch.autograd.grad(found, moving)
        assert torch.isfinite(found)
        assert torch.isfinite(gradient).all()


def test_mean_squares_have_their_closed_form(generator: torch.Generator) -> None:
    fixed, moving = torch.rand(2, 300, 2, generator=generator)
    expected = ((fixed - moving).square().mean(0) / fixed.var(0, correction=0) / 2).mean()
    torch.testing.assert_close(mean_squares(fixed, moving, torch.ones(300)), expected)


def test_mean_squares_are_one_minus_ncc_of_values_alike_in_mean_and_deviation(
    generator: torch.Generator,
) -> None:
    values = torch.randn(2, 400, 1, generator=generator)
    fixed, noise = (values - values.mean(1, keepdim=True)) / values.std(1, keepdim=True)
    moving = fixed + 0.5 * noise
    moving = 1000 + 3 * (moving - moving.mean()) / moving.std()
    fixed = 1000 + 3 * fixed
    expected = correlation(fixed, moving, torch.ones(400))
    assert 0.05 < expected < 0.3
    torch.testing.assert_close(
        mean_squares(fixed, moving, torch.ones(400)), expected, atol=1e-4, rtol=0
    )


def test_the_information_of_a_few_levels_has_its_closed_form(generator: torch.Generator) -> None:
    # levels so far apart that no window reaches from one to another
    levels = torch.randint(4, (2000, 1), generator=generator)
    place = torch.tensor([0, 10, 20, 30]) / (BINS - 1)
    fixed, moving = place[levels], place[3 - levels] ** 2
    probabilities = np.bincount(levels[:, 0], minlength=4) / 2000
    entropy = -(probabilities * np.log(probabilities)).sum()
    found = mutual_information(fixed, place[3 - levels], torch.ones(2000))
    assert found.item() == pytest.approx(math.exp(-2 * entropy), rel=0.02)
    assert mutual_information(fixed, moving, torch.ones(2000)) < 0.15
    shuffled = moving[torch.randperm(2000, generator=generator)]
    assert mutual_information(fixed, shuffled, torch.ones(2000)).item() > 0.97


def test_the_information_of_normal_values_is_about_that_of_their_correlation(
    generator: torch.Generator,
) -> None:
    fixed, noise = torch.randn(2, 20_000, 1, generator=generator, dtype=torch.float64)
    for amount in (0.7, 1.5):
        moving = fixed + amount * noise
        rescaled = [(0.5 + values / values.std() / 8).clamp(0, 1) for values in (fixed, moving)]
        found = mutual_information(*rescaled, torch.ones(20_000))
        # the windows blur both by one bin; their deviation is an eighth of the range
        correlation_of_bins = 1 / (1 + amount**2) / (1 + (8 / (BINS - 1)) ** 2) ** 2
        assert found.item() == pytest.approx(1 - correlation_of_bins, abs=0.02)


def test_several_images_are_compared_each_by_itself(generator: torch.Generator) -> None:
    fixed, moving = torch.rand(2, 50, 6, generator=generator)
    weights = torch.rand(50, generator=generator)
    parts = [correlation(fixed[:, c : c + 2], moving[:, c : c + 2], weights) for c in (0, 2, 4)]
    found = weighted(correlation, (1.0, 0.5, 2.5))(fixed, moving, weights)
    torch.testing.assert_close(found, (parts[0] + 0.5 * parts[1] + 2.5 * parts[2]) / 4)
    assert weighted(correlation, (3.0,)) is correlation


@pytest.mark.parametrize("kind", [kind for kind in SIMILARITIES if kind != "windowed_ncc"])
def test_every_similarity_is_best_where_the_images_are_one(
    kind: str, domain: ImageDomain, generator: torch.Generator
) -> None:
    wide = replace(domain, size=(30, 24, 20)[: domain.dimension])
    image = gaussian(torch.rand(1, 1, *reversed(wide.size), generator=generator), wide, 1.0)
    similarity = Similarity.of(kind, voxel=wide.voxel_size)
    channels = similarity.feature_map(image, None, wide, 1.0)
    values = channels.flatten(2)[0].T

    def shifted(voxels: int) -> Tensor:
        moving = channels.roll(voxels, dims=-1).flatten(2)[0].T
        return similarity.dissimilarity(values, moving, torch.ones(len(values)))

    aligned, near, far = (float(shifted(voxels)) for voxels in (0, 1, 8))
    assert aligned < near < far
    assert 0.5 < far < 1.5


def test_local_ncc_takes_several_windows(domain: ImageDomain, generator: torch.Generator) -> None:
    image = torch.rand(1, 1, *reversed(domain.size), generator=generator)
    one, two = (
        Similarity.of("local_ncc", voxel=1.0, windows=windows).feature_map(image, None, domain, 1.0)
        for windows in ((2.0,), (2.0, 4.0))
    )
    assert one.shape[1] == 2
    assert torch.equal(two[:, :2], one)
    assert not torch.equal(two[:, 2], one[:, 1])


def test_an_unknown_similarity_is_named() -> None:
    with pytest.raises(ValueError, match=r"similarity to be one of local_ncc, .* got 'ssd'"):
        Similarity.of("ssd", voxel=1.0)
