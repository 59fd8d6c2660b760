"""register_series(): a latent code that moves with time."""

from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.registrations import HASTY, same_bits

from itk_nephi import (
    EncoderSettings,
    FieldSettings,
    ModelSettings,
    NePhi,
    RegistrationSettings,
    Series,
    register,
    register_series,
)
from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import flatten

TIMES = (0.5, 1.0, 2.0)
"""How deep the breath is, in units of 8 mm."""


def breath(depth: float, dimension: int = 2) -> ImagePair:
    size = (60, 44) if dimension == 2 else (32, 28, 24)
    return lung(dimension, size=size, motion=8 * depth, seed=4).pair


def settings(**changes: Any) -> RegistrationSettings:
    field = FieldSettings(width=32, frequencies=12, local_grid=8, local_channels=8)
    return RegistrationSettings(**({"field": field, "steps": 40} | changes))


def fitted(times: Any = TIMES, **options: Any) -> Series:
    chests = [breath(time) for time in times]
    chosen = {"settings": settings(), "fixed_mask": chests[0].fixed_mask} | options
    return register_series(
        chests[0].fixed_image, [chest.moving_image for chest in chests], times, **chosen
    )


@pytest.fixture(scope="module")
def series() -> Series:
    return fitted(masks=[breath(time).moving_mask for time in TIMES])


def parameters_of(registration: Any) -> Any:
    return np.array(flatten(registration.fixed_to_moving)[0].GetParameters())


def errors_at(found: Any, depth: float) -> tuple[float, float]:
    """Return mean landmark errors, mm, of both maps of a registration with a depth of breath."""
    chest = breath(depth)
    points = chest.evaluation_landmarks
    return (
        float(landmark_errors(found.fixed_to_moving, *points).mean()),
        float(landmark_errors(found.moving_to_fixed, *points[::-1]).mean()),
    )


def test_the_phantom_breathes_to_several_depths() -> None:
    first, last = breath(TIMES[0]), breath(TIMES[-1])
    np.testing.assert_array_equal(np.asarray(first.fixed_image), np.asarray(last.fixed_image))
    np.testing.assert_array_equal(first.evaluation_landmarks[0], last.evaluation_landmarks[0])
    assert ImageDomain.of(first.moving_image) == ImageDomain.of(last.moving_image)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("initial_transform", [None, "affine"])
def test_one_time_is_a_registration_to_the_bit(
    dimension: int, initial_transform: str | None
) -> None:
    chest = breath(1.0, dimension)
    options: dict[str, Any] = {
        "fixed_mask": chest.fixed_mask,
        "initial_transform": initial_transform,
        "settings": settings(steps=5),
        "seed": 3,
    }
    found = register_series(
        chest.fixed_image, [chest.moving_image], [7.0], masks=[chest.moving_mask], **options
    ).at(7.0)
    expected = register(chest.fixed, chest.moving, moving_mask=chest.moving_mask, **options)
    np.testing.assert_array_equal(parameters_of(found), parameters_of(expected))
    assert found.history == expected.history
    point = chest.evaluation_landmarks[0][0].tolist()
    for name in ("fixed_to_moving", "moving_to_fixed"):
        ours, theirs = (getattr(each, name).TransformPoint(point) for each in (found, expected))
        assert tuple(ours) == tuple(theirs)


def test_a_series_takes_what_a_registration_takes_to_the_bit() -> None:
    chest = breath(1.0)
    few = settings(steps=3)
    first = register(chest.fixed, chest.moving, settings=few)
    limited = settings(steps=3, memory_limit=30.0)
    both = [chest.fixed_image, chest.fixed_image], [chest.moving_image, chest.moving_image]
    for (fixed, moving), options in (
        ((chest.fixed_image, chest.moving_image), {"warm_start": first}),
        ((chest.fixed_image, chest.moving_image), {"initial_transform": first}),
        ((chest.fixed_image, chest.moving_image), {"settings": limited}),
        (both, {"channel_weights": [0.3, 2.0]}),
        ((itk.array_from_image(chest.fixed_image), itk.array_from_image(chest.moving_image)), {}),
    ):
        given: dict[str, Any] = {"settings": few, "initial_transform": None} | options
        found = register_series(fixed, [moving], **given).at(0)
        expected = register(fixed, moving, **given)
        np.testing.assert_array_equal(parameters_of(found), parameters_of(expected))
        assert found.history == expected.history


def test_an_interrupted_series_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def stop(progress: Any) -> None:
        if progress.done == 4:
            raise StopIteration

    options: dict[str, Any] = {"settings": settings(steps=3), "knots": (0.5, 2.0)}
    kept = {"checkpoint": tmp_path / "state", "checkpoint_interval": 0.0}
    expected = fitted(**options)
    assert fitted(**options, **kept, callback=stop).interrupted
    with pytest.raises(ValueError, match="of one with another knots; delete it to start anew"):
        fitted(**options | {"knots": TIMES}, **kept)
    found = fitted(**options, **kept)
    assert found.history == expected.history
    for time in (0.5, 1.3):
        np.testing.assert_array_equal(
            parameters_of(found.at(time)), parameters_of(expected.at(time))
        )
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("time", TIMES)
def test_each_time_is_brought_together(series: Series, time: float) -> None:
    chest = breath(time)
    before = np.linalg.norm(np.subtract(*chest.evaluation_landmarks), axis=1).mean()
    assert max(errors_at(series.at(time), time)) < 0.6 * before
    assert np.isfinite(series.history[-1].losses["total"])


def test_a_time_without_an_image_lies_between_its_neighbors(series: Series) -> None:
    between = errors_at(series.at(1.5), 1.5)
    for time in (1.0, 2.0):
        assert np.all(np.array(between) < errors_at(series.at(time), 1.5))


def test_the_code_is_linear_between_knots_and_the_fields_are_shared(series: Series) -> None:
    early, middle, late = (parameters_of(series.at(time)) for time in (1.0, 1.25, 2.0))
    np.testing.assert_allclose(middle, 0.75 * early + 0.25 * late, atol=1e-6)
    assert not np.allclose(early, late)
    weights = sum(w.numel() for w in series.deformations[0].weights())
    np.testing.assert_array_equal(early[:weights], late[:weights])


def test_two_knots_make_the_code_a_straight_line() -> None:
    found = fitted(knots=(0.0, 2.0))
    assert len(found.deformations) == 2
    chests = [breath(time) for time in TIMES]
    before = np.mean(
        [np.linalg.norm(np.subtract(*c.evaluation_landmarks), axis=1).mean() for c in chests]
    )
    assert np.mean([errors_at(found.at(time), time) for time in TIMES]) < 0.7 * before
    start, middle, end = (parameters_of(found.at(time)) for time in (0.0, 1.0, 2.0))
    np.testing.assert_allclose(middle, (start + end) / 2, atol=1e-6)


def test_the_same_seed_gives_the_same_series() -> None:
    first, other, again = (
        parameters_of(fitted(settings=settings(steps=3), seed=seed).at(1.5)) for seed in (0, 1, 0)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_ending_early_keeps_what_was_reached() -> None:
    def stop(progress: Any) -> None:
        if progress.done == 4:
            raise StopIteration

    found = fitted(callback=stop)
    assert found.interrupted
    assert found.at(0.75).interrupted
    assert len(found.history) == 4


@pytest.fixture
def model() -> NePhi:
    """A model whose weights, those of the output too, are random."""
    generator = torch.Generator().manual_seed(2)
    field = FieldSettings(width=12, frequencies=6, local_grid=5, local_channels=4)
    encoder = EncoderSettings(filters=(8, 8), local_block=1, pooled=2)
    made = NePhi(
        ModelSettings(field=field, encoder=encoder, size=(32, 32), spacing=(12.0, 12.0)), generator
    )
    for each in (made.field, made.inverse_field):
        torch.nn.init.normal_(each.output.weight, std=0.01, generator=generator)
    return made


@pytest.mark.filterwarnings("ignore:the images are less alike")
def test_a_model_predicts_each_time_and_the_code_is_refined(model: NePhi) -> None:
    kept = {name: values.clone() for name, values in model.state_dict().items()}
    predicted = fitted(model=model)
    for time in TIMES:
        chest = breath(time)
        alone = register(
            chest.fixed,
            chest.moving,
            fixed_mask=chest.fixed_mask,
            initial_transform=None,
            model=model,
        )
        np.testing.assert_allclose(
            parameters_of(predicted.at(time)), parameters_of(alone), atol=1e-6
        )
    refined = fitted(model=model, refine_steps=5)
    weights = sum(w.numel() for w in refined.deformations[0].weights())
    first, last = (parameters_of(each.at(1.0)) for each in (predicted, refined))
    np.testing.assert_array_equal(first[:weights], last[:weights])
    assert not np.allclose(first[weights:], last[weights:])
    assert all(torch.equal(values, kept[name]) for name, values in model.state_dict().items())


@pytest.mark.filterwarnings("ignore:the images are less alike")
def test_predictions_become_the_closest_straight_line(model: NePhi) -> None:
    each, line = fitted(model=model), fitted(model=model, knots=(0.5, 2.0))
    times = np.array(TIMES)
    wanted = np.stack([parameters_of(each.at(time)) for time in TIMES])
    slope, offset = np.polyfit(times, wanted, 1)
    for time in (0.5, 0.8, 2.0):
        np.testing.assert_allclose(parameters_of(line.at(time)), slope * time + offset, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"times": (0.5, 1.0)}, "a time for each of 3 images, got 2"),
        ({"times": (0.5, 2.0, 1.0)}, "times to be finite and to rise"),
        ({"knots": (0.5, 1.0)}, "knots from 0.5 or before to 2 or after"),
        ({"knots": (0.5, 0.6, 0.7, 2.0)}, "determine"),
        ({"masks": [None]}, "a mask or None for each of 3 images, got 1"),
        ({"refine_steps": 3}, "expected a model"),
        ({"settings": settings(memory_limit=1.0)}, "memory_limit of at least"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], reason: str) -> None:
    chests = [breath(time) for time in TIMES]
    arguments = {"times": TIMES, "settings": settings(steps=1)} | options
    with pytest.raises(ValueError, match=reason):
        register_series(
            chests[0].fixed_image, [chest.moving_image for chest in chests], **arguments
        )


def test_images_and_times_outside_are_named(series: Series) -> None:
    with pytest.raises(ValueError, match=r"images at one or more times, got none"):
        register_series(breath(1.0).fixed_image, [])
    with pytest.raises(ValueError, match=r"images\[1\] in 2 dimensions like fixed, got 3"):
        register_series(
            breath(1.0).fixed_image, [breath(1.0).moving_image, breath(1.0, 3).moving_image]
        )
    with pytest.raises(ValueError, match=r"a time from 0\.5 to 2, got 2\.5"):
        series.at(2.5)


@pytest.mark.parametrize("name", ["images", "masks"])
def test_a_single_image_is_no_series(name: str) -> None:
    fixed, moving = breath(1.0).fixed_image, breath(1.0).moving_image
    for single in ("moving.nii.gz", Path("moving.nii.gz"), moving, 3):
        given = {"images": [moving], name: single}
        with pytest.raises(TypeError, match=f"expected {name} as a list, one for each time, got"):
            register_series(fixed, **given)


def test_a_seed_may_be_a_whole_number_of_any_type() -> None:
    chest = breath(1.0)
    given = chest.fixed_image, [chest.moving_image]
    one, other = (register_series(*given, seed=seed, settings=HASTY) for seed in (3, np.int64(3)))
    assert same_bits(one.at(0), other.at(0))
    with pytest.raises(TypeError, match="integer"):
        register_series(*given, seed=0.5)
