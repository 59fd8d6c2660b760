import logging
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.instance_optimization import (
    AHEAD,
    RETRIES,
    RegistrationSettings,
    solve,
)
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.result import Progress
from itk_nephi.spatial.image_pair import ImagePair

CPU = torch.device("cpu")


def settings(**changes: Any) -> RegistrationSettings:
    """Return settings with which a level takes a moment."""
    field = FieldSettings(width=8, frequencies=4, global_code=2, local_channels=2, local_grid=4)
    few = RegistrationSettings(
        field=field, smoothing_sigmas=(1.0, 0.0), steps=5, points=200, regularizer_points=40
    )
    return replace(few, **changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smoothing_sigmas": ()}, r"smoothing_sigmas of one or more numbers, got \(\)"),
        ({"smoothing_sigmas": (2.0, -1.0)}, r"smoothing_sigmas of 0 or more, got \(2.0, -1.0\)"),
        ({"smoothing_sigmas": (math.inf,)}, r"smoothing_sigmas to be finite, got \(inf,\)"),
        ({"smoothing_sigmas": (math.nan,)}, r"smoothing_sigmas to be finite, got \(nan,\)"),
        ({"steps": 0}, "steps of at least 1, got 0"),
        ({"points": -5}, "points of at least 1, got -5"),
        ({"points_per_voxel": 0.0}, "points_per_voxel of more than 0, got 0.0"),
        ({"regularizer_points": 0}, "regularizer_points of at least 1, got 0"),
        (
            {"points": 100, "regularizer_points": 101},
            "regularizer_points of at most points, 100, got 101",
        ),
        ({"gradicon_weight": -0.5}, "gradicon_weight of 0 or more, got -0.5"),
        ({"gradicon_weight": math.nan}, "gradicon_weight to be finite, got nan"),
        ({"similarity": "nmi"}, "similarity to be one of local_ncc, .*, got 'nmi'"),
        ({"local_windows": ()}, r"local_windows of one or more numbers, got \(\)"),
        ({"local_windows": (2.0, 0.0)}, r"local_windows of more than 0, got \(2.0, 0.0\)"),
        ({"importance_sampling": 1.0}, "importance_sampling of 0 or more and below 1, got 1.0"),
        ({"landmark_scale": 0.0}, "landmark_scale of more than 0, got 0.0"),
        ({"folding_weight": -1.0}, "folding_weight of 0 or more, got -1.0"),
        ({"latent_prior_weight": -1.0}, "latent_prior_weight of 0 or more, got -1.0"),
        ({"network_learning_rate": math.inf}, "network_learning_rate to be finite, got inf"),
        ({"code_learning_rate": -1.0}, "code_learning_rate of 0 or more, got -1.0"),
    ],
)
def test_a_setting_out_of_range_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"expected {message}"):
        RegistrationSettings(**change)


def shape_pair(seed: int = 1, size: int = 24) -> ImagePair:
    shape = deformed_shape(2, size=size, motion=2, seed=seed).pair
    return ImagePair(fixed=shape.fixed, moving=shape.moving, initial_transform=None)


def optimized(
    pair: ImagePair, chosen: RegistrationSettings, seed: int = 0, callback: Any = None
) -> tuple[Deformation, list[Progress], bool]:
    generator = torch.Generator().manual_seed(seed)
    problem = RegistrationProblem.prepare([pair], chosen, CPU)
    deformation = Deformation.identity(problem.domain, chosen.field, generator)
    history, interrupted, findings = solve(
        problem, [deformation], generator=generator, callback=callback
    )
    assert findings == []
    return deformation, history, interrupted


def test_every_step_is_recorded_and_reported() -> None:
    reported: list[Progress] = []
    _, history, interrupted = optimized(shape_pair(), settings(), callback=reported.append)
    assert reported == history
    assert not interrupted
    assert [progress.level for progress in history] == [1] * 5 + [2] * 5
    assert [progress.done for progress in history] == list(range(1, 11))
    assert {(progress.levels, progress.total) for progress in history} == {(2, 10)}
    assert [progress.share for progress in history] == pytest.approx(np.arange(1, 11) / 10)
    for progress in history:
        losses = progress.losses
        expected = (
            losses["dissimilarity"]
            + settings().gradicon_weight * losses["gradicon"]
            + settings().inverse_consistency_weight * losses["inverse_consistency"]
            + settings().latent_prior_weight * losses["latent_prior"]
        )
        assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_steps_that_compare_more_points_are_a_larger_share() -> None:
    on_lattice = RegistrationSettings.preset("default", smoothing_sigmas=(2.0, 1.0), steps=20)
    _, history, _ = optimized(shape_pair(size=60), on_lattice)
    steps = np.diff([0, *(progress.share for progress in history)])
    # half the distance in 2D: four times the points
    assert steps == pytest.approx(np.repeat([1, 4], 20) / 100)


def test_the_objective_falls() -> None:
    _, history, _ = optimized(shape_pair(), settings(smoothing_sigmas=(1.0,), steps=60))
    dissimilarities = [progress.losses["dissimilarity"] for progress in history]
    assert np.mean(dissimilarities[-5:]) < 0.7 * np.mean(dissimilarities[:3])


@pytest.mark.parametrize(
    ("size", "asked", "drawn"),
    [(80, 5000, 800), (80, 700, 700), (24, 5000, 500)],  # an eighth of the pixels; as asked; least
)
def test_small_images_are_compared_at_fewer_points(size: int, asked: int, drawn: int) -> None:
    counts = set()

    def compare(fixed: Tensor, moving: Tensor, _weights: Tensor) -> Tensor:
        counts.add(len(fixed))
        return (fixed - moving).square().mean()

    optimized(shape_pair(size=size), settings(dissimilarity=compare, points=asked))
    assert counts == {drawn}


@pytest.mark.parametrize("count", [1, 10_000, 10_000_000])
def test_points_suit_the_voxels_to_compare(count: int) -> None:
    asked = settings(points=5000, regularizer_points=1200, points_per_voxel=0.1)
    found = asked.for_image(count, 1)
    assert found.points == {1: 500, 10_000: 1000, 10_000_000: 5000}[count]
    assert found.regularizer_points == min(1200, found.points)
    assert replace(found, points=5000, regularizer_points=1200) == asked


def test_everything_is_trained() -> None:
    deformation, _, _ = optimized(shape_pair(), settings())
    untrained = Deformation.identity(
        deformation.domain, settings().field, torch.Generator().manual_seed(0)
    )
    for found, initial in zip(deformation.parameters(), untrained.parameters(), strict=True):
        assert not torch.equal(found, initial)
    assert torch.equal(deformation.field.embedding, untrained.field.embedding)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bits_whatever_ran_before(threads: int) -> None:
    torch.set_num_threads(threads)
    runs = [(1, 0), (1, 0), (2, 0), (1, 0), (1, 1)]
    first, again, _, and_again, other = (
        [
            values.detach()
            for values in optimized(shape_pair(shape), settings(), seed)[0].parameters()
        ]
        for shape, seed in runs
    )
    for values, same, still, different in zip(first, again, and_again, other, strict=True):
        assert torch.equal(values, same)
        assert torch.equal(values, still)
        assert not torch.equal(values, different)


@pytest.mark.parametrize("signal", [KeyboardInterrupt, StopIteration])
def test_an_interruption_keeps_what_was_reached(signal: type[BaseException]) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 7:
            raise signal

    deformation, history, interrupted = optimized(shape_pair(), settings(), callback=stop)
    assert interrupted
    assert len(history) == 7
    assert deformation.field.output.weight.abs().max() > 0


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_level_that_diverges_starts_again_with_smaller_steps(
    ahead: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AHEAD, "cpu", ahead)
    chosen = settings(network_learning_rate=0.03, steps=12)
    with caplog.at_level(logging.INFO, logger="itk_nephi.registration.instance_optimization"):
        deformation, history, _ = optimized(shape_pair(), chosen)
    assert "diverged (gradicon is" in caplog.text
    assert [progress.done for progress in history] == list(range(1, 25))
    assert max(progress.losses["gradicon"] for progress in history) < 1
    assert all(torch.isfinite(values).all() for values in deformation.parameters())


@pytest.mark.parametrize("early_stop", [False, True])
def test_steps_that_are_looked_at_later_are_the_same(
    early_stop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(early_stop=early_stop)
    expected, expected_history, _ = optimized(shape_pair(), chosen)
    monkeypatch.setitem(AHEAD, "cpu", 2)
    found, history, _ = optimized(shape_pair(), chosen)
    assert history == expected_history
    for one, other in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_field_whose_inverse_consistency_does_not_count_may_leave_it() -> None:
    free = settings(network_learning_rate=0.03, steps=12, gradicon_weight=0.0, diffusion_weight=0.1)
    _, history, _ = optimized(shape_pair(), free)
    assert [progress.done for progress in history] == list(range(1, 25))
    assert max(progress.losses["gradicon"] for progress in history) > 1


def test_steps_that_are_absurdly_large_are_an_error_that_names_the_term(
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = r"diverged at level 1 in spite of smaller steps: gradicon is .*; try"
    with (
        caplog.at_level(logging.INFO, logger="itk_nephi.registration.instance_optimization"),
        pytest.raises(RuntimeError, match=message),
    ):
        optimized(shape_pair(), settings(network_learning_rate=1e4))
    assert caplog.text.count("again with smaller steps") == RETRIES


def test_a_dissimilarity_without_a_gradient_is_an_error_and_no_crash() -> None:
    code = """
from itk_nephi import RegistrationSettings, register
from itk_nephi.phantoms import triangles_and_circles
pair = triangles_and_circles(2, size=24)
nan = lambda a, b, *_: ((a - b) * 0).sqrt().mean()
settings = RegistrationSettings(dissimilarity=nan, steps=4)
try:
    register(pair.fixed, pair.moving, initial_transform="identity", settings=settings)
except RuntimeError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert b"the optimization diverged at level 1 in spite of smaller steps" in result.stdout


def test_further_terms_are_recorded_only_where_they_count() -> None:
    usual = {"dissimilarity", "gradicon", "inverse_consistency"}
    usual |= {"latent_prior", "total"}
    for terms in ([], ["diffusion"], ["bending"], ["folding"]):
        weights = {f"{term}_weight": 0.2 for term in terms}
        _, history, _ = optimized(shape_pair(), settings(steps=1, **weights))
        assert set(history[0].losses) == usual | set(terms)


def test_diffusion_and_bending_make_it_smoother() -> None:
    def roughness(**change: float) -> float:
        chosen = settings(steps=20, **change)
        deformation, _, _ = optimized(shape_pair(), chosen)
        coords = torch.rand(200, 2, generator=torch.Generator().manual_seed(1)) - 0.5
        with torch.no_grad():
            _, jacobian = deformation.field.with_jacobian(coords, deformation.code)
        return float((jacobian - torch.eye(2)).square().mean())

    free = roughness()
    assert roughness(diffusion_weight=3.0) < 0.5 * free
    assert roughness(bending_weight=30.0) < 0.5 * free


def test_a_function_of_the_users_compares_smoothed_intensities() -> None:
    seen = []

    def compare(fixed: Tensor, moving: Tensor, weights: Tensor) -> Tensor:
        seen.append((fixed, moving, weights))
        return (weights[:, None] * (fixed - moving).square()).mean()

    pair = shape_pair()
    optimized(pair, settings(dissimilarity=compare, smoothing_sigmas=(0.0,), steps=2))
    for fixed, moving, weights in seen:
        assert fixed.shape == moving.shape == (200, 1)
        assert weights.shape == (200,)
        # the shapes are drawn with intensities of 0 to 1
        assert 0 <= fixed.min() < 0.1 < 0.9 < fixed.max() <= 1
