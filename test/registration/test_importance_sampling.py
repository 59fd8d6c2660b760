import pytest
import torch

from itk_nephi.registration.sampler import importance_sample


@pytest.mark.parametrize("fraction", [0.3, 0.9])
def test_weighted_means_stay_the_same_and_become_more_certain(fraction: float) -> None:
    generator = torch.Generator().manual_seed(1)

    def peak(coords: torch.Tensor) -> torch.Tensor:
        return (-200 * coords.square().sum(dim=1)).exp()

    plain, found = [], []
    for _ in range(300):
        candidates = 2 * torch.rand(2000, 2, generator=generator) - 1
        plain.append(peak(candidates[:500]).mean())
        coords, weights = importance_sample(candidates, peak(candidates), 500, fraction, generator)
        assert weights.min() > 0
        assert weights.max() <= 1
        # the weights of the balance heuristic, up to the share of points that came as they are
        found.append((weights * peak(coords)).sum() / (500 * (1 - fraction)))
    expected = torch.pi / 200 / 4
    deviation = torch.stack(found).std().item()
    assert torch.stack(found).mean().item() == pytest.approx(expected, abs=4 * deviation / 300**0.5)
    assert deviation < 0.7 * torch.stack(plain).std()


def test_without_content_any_candidate_will_do() -> None:
    generator = torch.Generator().manual_seed(1)
    candidates = torch.rand(40, 3, generator=generator)
    coords, weights = importance_sample(candidates, torch.zeros(40), 10, 0.5, generator)
    assert torch.equal(coords[:5], candidates[:5])
    assert len(coords.unique(dim=0)) > 7
    assert torch.equal(weights, torch.ones(10))


@pytest.mark.parametrize(("count", "share"), [(100, 0.999), (1, 0.7), (3, 0.1)])
def test_one_point_at_least_comes_as_it_is(count: int, share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    candidates, importance = torch.rand(400, 2, generator=generator), torch.rand(400)
    coords, weights = importance_sample(candidates, importance, count, share, generator)
    assert torch.equal(coords[0], candidates[0])
    assert len(coords) == len(weights) == count
    assert ((weights > 0) & (weights <= 1)).all()
