import logging
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from itk_nephi.domain import Array, ImageDomain, image_from_array
from itk_nephi.image import SpaceMap
from itk_nephi.model import FieldSettings
from itk_nephi.optimisation import (
    RETRIES,
    ImagePair,
    Progress,
    RegistrationSettings,
    optimise,
)
from itk_nephi.phantom import deformed_shape
from itk_nephi.transform import Deformation

CPU = torch.device("cpu")


def settings(**changes: Any) -> RegistrationSettings:
    """Return settings with which a level takes a moment."""
    field = FieldSettings(width=8, frequencies=4, global_code=2, local_channels=2, local_grid=4)
    few = RegistrationSettings(
        field=field, smoothing=(1.0, 0.0), steps=5, points=200, regularizer_points=40
    )
    return replace(few, **changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smoothing": ()}, r"smoothing to be one number of voxels for each level.* got \(\)"),
        ({"smoothing": (2.0, -1.0)}, r"smoothing to be .* 0 or more, got \(2.0, -1.0\)"),
        ({"smoothing": (math.inf,)}, r"smoothing to be .* got \(inf,\)"),
        ({"smoothing": (math.nan,)}, r"smoothing to be .* got \(nan,\)"),
        ({"steps": 0}, "steps of at least 1, got 0"),
        ({"points": -5}, "points of at least 1, got -5"),
        ({"regularizer_points": 0}, "regularizer_points of at least 1, got 0"),
        (
            {"points": 100, "regularizer_points": 101},
            "regularizer_points of at most points, 100, got 101",
        ),
        ({"smoothness": -0.5}, "smoothness of 0 or more, got -0.5"),
        ({"smoothness": math.nan}, "smoothness of 0 or more, got nan"),
        ({"latent_prior": -1.0}, "latent_prior of 0 or more, got -1.0"),
        ({"weights_learning_rate": math.inf}, "weights_learning_rate of 0 or more, got inf"),
        ({"code_learning_rate": -1.0}, "code_learning_rate of 0 or more, got -1.0"),
    ],
)
def test_a_setting_out_of_range_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"expected {message}"):
        RegistrationSettings(**change)


def shifted_pair(
    domain: ImageDomain, *, fixed_mask: Any = None, moving_mask: Any = None, offset: Any = None
) -> ImagePair:
    """The same noise twice, the moving one ``offset`` mm further, and an initial map that knows."""
    offset = np.zeros(domain.dimension) if offset is None else np.array(offset)
    elsewhere = replace(domain, origin=tuple((domain.origin + offset).tolist()))
    values = np.random.default_rng(1).normal(size=domain.size[::-1]).astype(np.float32)
    return ImagePair(
        fixed=image_from_array(values, domain),
        moving=image_from_array(values, elsewhere),
        fixed_mask=None if fixed_mask is None else image_from_array(fixed_mask, domain),
        moving_mask=None if moving_mask is None else image_from_array(moving_mask, elsewhere),
        initial=SpaceMap(np.eye(domain.dimension), offset),
        device=CPU,
    )


def mask_of(domain: ImageDomain, *first_and_last: tuple[int, int]) -> Any:
    """1 in a box of voxels, given along i, then j, then k."""
    mask = np.zeros(domain.size[::-1], np.uint8)
    mask[tuple(slice(low, high) for low, high in reversed(first_and_last))] = 1
    return mask


BOX = [(2, 6), (1, 4), (0, 3)]
OTHER_BOX = [(4, 9), (2, 6), (1, 4)]


def voxel_distance(points: Array, domain: ImageDomain, mask: Any) -> Array:
    """Return how far points are from the nearest voxel of a mask, along the worst axis, voxels."""
    index = domain.index_from_points(points)
    voxels = np.argwhere(mask)[:, ::-1]
    nearest: Array = np.abs(index[:, None] - voxels).max(axis=-1).min(axis=-1)
    return nearest


def test_points_are_drawn_in_the_masks(domain: ImageDomain) -> None:
    offset = np.array([200.0, -50.0, 30.0])[: domain.dimension]
    fixed_mask = mask_of(domain, *BOX[: domain.dimension])
    moving_mask = mask_of(domain, *OTHER_BOX[: domain.dimension])
    pair = shifted_pair(domain, fixed_mask=fixed_mask, moving_mask=moving_mask, offset=offset)
    in_fixed, in_moving = pair.draw(500, torch.Generator().manual_seed(1))
    points = domain.points_from_coords(in_fixed.numpy())
    assert voxel_distance(points, domain, fixed_mask).max() < 0.5 + 1e-4
    # the moving mask's points are seen from the fixed image, through the initial map
    points = domain.points_from_coords(in_moving.numpy())
    assert voxel_distance(points, domain, moving_mask).max() < 0.5 + 1e-4
    for drawn, mask in ((in_fixed, fixed_mask), (in_moving, moving_mask)):
        index = np.rint(domain.index_from_points(domain.points_from_coords(drawn.numpy())))
        assert len(np.unique(index, axis=0)) == mask.sum()


def test_a_mask_alone_limits_only_its_own_points(domain: ImageDomain) -> None:
    mask = mask_of(domain, *BOX[: domain.dimension])
    for name, place in (("fixed_mask", 0), ("moving_mask", 1)):
        drawn = shifted_pair(domain, **{name: mask}).draw(500, torch.Generator().manual_seed(1))
        distances = [
            voxel_distance(domain.points_from_coords(coords.numpy()), domain, mask)
            for coords in drawn
        ]
        assert distances[place].max() < 0.5 + 1e-4
        assert distances[1 - place].max() > 2


def test_without_masks_points_fill_the_domain(domain: ImageDomain) -> None:
    for coords in shifted_pair(domain).draw(4000, torch.Generator().manual_seed(1)):
        relative = coords / torch.tensor(domain.bounds)
        assert relative.abs().max() <= 1
        quantiles = torch.quantile(relative, torch.tensor([0.1, 0.5, 0.9]), dim=0)
        expected = torch.tensor([-0.8, 0.0, 0.8])[:, None].expand_as(quantiles)
        torch.testing.assert_close(quantiles, expected, atol=0.08, rtol=0)


def test_both_images_are_prepared_and_found_through_the_initial_map(domain: ImageDomain) -> None:
    offset = np.array([200.0, -50.0, 30.0])[: domain.dimension]
    pair = shifted_pair(domain, offset=offset)
    coords, _ = pair.draw(100, torch.Generator().manual_seed(1))
    (fixed, in_fixed), (moving, in_moving) = (
        sampled(0.99 * coords) for sampled in pair.channels(1.0)
    )
    assert fixed.shape == (100, 2)
    assert fixed.std() > 0.1
    assert in_fixed.all()
    assert in_moving.all()
    torch.testing.assert_close(moving, fixed, atol=1e-3, rtol=0)


def test_images_and_masks_that_have_nothing_in_common_are_refused(domain: ImageDomain) -> None:
    values = np.random.default_rng(1).normal(size=domain.size[::-1]).astype(np.float32)
    far = replace(domain, origin=tuple(x + 500 for x in domain.origin))
    with pytest.raises(ValueError, match="expected fixed and moving images that overlap after"):
        ImagePair(
            fixed=image_from_array(values, domain),
            moving=image_from_array(values, far),
            fixed_mask=None,
            moving_mask=None,
            initial=SpaceMap(np.eye(domain.dimension), np.zeros(domain.dimension)),
            device=CPU,
        )
    masks = [mask_of(domain, *[box] * domain.dimension) for box in ((0, 2), (3, 5))]
    with pytest.raises(ValueError, match="expected fixed and moving masks that overlap after"):
        shifted_pair(domain, fixed_mask=masks[0], moving_mask=masks[1])


def shape_pair(seed: int = 1, size: int = 24) -> ImagePair:
    shape = deformed_shape(2, size=size, motion=2, seed=seed)
    return ImagePair(
        fixed=shape.fixed,
        moving=shape.moving,
        fixed_mask=None,
        moving_mask=None,
        initial=SpaceMap(np.eye(2), np.zeros(2)),
        device=CPU,
    )


def optimised(
    pair: ImagePair, chosen: RegistrationSettings, seed: int = 0, report: Any = None
) -> tuple[Deformation, list[Progress], bool]:
    generator = torch.Generator().manual_seed(seed)
    deformation = Deformation.identity(pair.domain, chosen.field, generator)
    history, interrupted = optimise(deformation, pair, chosen, generator, report)
    return deformation, history, interrupted


def test_every_step_is_recorded_and_reported() -> None:
    reported: list[Progress] = []
    _, history, interrupted = optimised(shape_pair(), settings(), report=reported.append)
    assert reported == history
    assert not interrupted
    assert [progress.level for progress in history] == [1] * 5 + [2] * 5
    assert [progress.done for progress in history] == list(range(1, 11))
    assert {(progress.levels, progress.total) for progress in history} == {(2, 10)}
    for progress in history:
        losses = progress.losses
        expected = (
            losses["dissimilarity"]
            + settings().smoothness * losses["gradient_inverse_consistency"]
            + settings().inverse_consistency * losses["inverse_consistency"]
            + settings().latent_prior * losses["latent_prior"]
        )
        assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_the_objective_falls() -> None:
    _, history, _ = optimised(shape_pair(), settings(smoothing=(1.0,), steps=30))
    dissimilarities = [progress.losses["dissimilarity"] for progress in history]
    assert np.mean(dissimilarities[-5:]) < 0.7 * np.mean(dissimilarities[:3])


def test_everything_is_trained() -> None:
    deformation, _, _ = optimised(shape_pair(), settings())
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
            for values in optimised(shape_pair(shape), settings(), seed)[0].parameters()
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

    deformation, history, interrupted = optimised(shape_pair(), settings(), report=stop)
    assert interrupted
    assert len(history) == 7
    assert deformation.field.output.weight.abs().max() > 0


def test_a_level_that_diverges_starts_again_with_smaller_steps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen = settings(weights_learning_rate=0.03, steps=12)
    with caplog.at_level(logging.INFO, logger="itk_nephi.optimisation"):
        deformation, history, _ = optimised(shape_pair(), chosen)
    assert "diverged (gradient_inverse_consistency is" in caplog.text
    assert [progress.done for progress in history] == list(range(1, 25))
    assert max(progress.losses["gradient_inverse_consistency"] for progress in history) < 1
    assert all(torch.isfinite(values).all() for values in deformation.parameters())


def test_steps_that_are_absurdly_large_are_an_error_that_names_the_term(
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = r"diverged at level 1 in spite of smaller steps: gradient_inverse_.* is .*; try"
    with (
        caplog.at_level(logging.INFO, logger="itk_nephi.optimisation"),
        pytest.raises(RuntimeError, match=message),
    ):
        optimised(shape_pair(), settings(weights_learning_rate=1e4))
    assert caplog.text.count("again with smaller steps") == RETRIES
