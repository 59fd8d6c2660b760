from contextlib import nullcontext
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.models.nephi import ModelSettings
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import compose, transform_points
from itk_nephi.training.augmentation import Augmentation, TrainingExamples


class Pairs:
    """Pairs of smooth images on an awkward grid, each with its own phase."""

    def __init__(self, domain: ImageDomain, initial_transform: Any, count: int = 3) -> None:
        self.domain, self.initial_transform, self.count = domain, initial_transform, count
        self.made = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> ImagePair:
        self.made += 1
        points = self.domain.grid_points() - self.domain.center
        images = [
            image_from_array(
                np.sin(points.sum(axis=-1) / 6 + phase).astype(np.float32), self.domain
            )
            for phase in (number, number + 0.5)
        ]
        return ImagePair(
            fixed=(images[0],), moving=(images[1],), initial_transform=self.initial_transform
        )


@pytest.fixture
def pairs(domain: ImageDomain, affine: Any) -> Pairs:
    return Pairs(domain.canonical(), affine)


@pytest.fixture
def model(dimension: int) -> ModelSettings:
    # voxels no larger than the images', so that nothing is blurred
    return ModelSettings(
        size=(14, 16, 18)[:dimension], spacing=(0.8, 0.9, 1.0)[:dimension], window=(-1.0, 1.0)
    )


def test_samples_are_what_itk_resamples_through_the_drawn_maps(
    pairs: Pairs, model: ModelSettings
) -> None:
    augmentation = Augmentation(affine=0.05, shift=0.5, flips=(0, 1))
    samples = TrainingExamples(pairs, model, augmentation, seed=4)
    pair = pairs[samples.number_of_pair(1)]
    box = model.box(pair.fixed_image)
    to_fixed, to_moving = augmentation.draw(box, np.random.default_rng([4, 1, 1]))
    sample = samples[1]
    for image, transform, values, support in (
        (pair.fixed_image, to_fixed, sample.fixed, sample.fixed_support),
        (
            pair.moving_image,
            compose([to_moving, pair.initial_transform]),
            sample.moving,
            sample.moving_support,
        ),
    ):
        expected = itk.resample_image_filter(
            image,
            transform=transform,
            use_reference_image=True,
            reference_image=image_from_array(np.zeros(box.size[::-1], np.float32), box),
        )
        inside = support[0].numpy() > 0
        assert 0.2 < inside.mean() < 1
        np.testing.assert_allclose(
            values[0].numpy()[inside], (np.asarray(expected)[inside] + 1) / 2, atol=1e-4
        )


def test_flips_mirror_both_images_about_the_center_of_the_box(domain: ImageDomain) -> None:
    both = Augmentation(flips=(1,))
    point = domain.points_from_coords(0.3 * np.array(domain.bounds))
    mirrored = domain.points_from_coords(
        0.3 * np.array(domain.bounds) * [1, -1, 1][: domain.dimension]
    )
    seen = set()
    for seed in range(20):
        maps = both.draw(domain, np.random.default_rng(seed))
        moved = [transform_points(made, [point])[0] for made in maps]
        np.testing.assert_allclose(moved[0], moved[1], atol=1e-9)
        flipped = np.allclose(moved[0], mirrored)
        assert flipped or np.allclose(moved[0], point)
        seen.add(flipped)
    assert seen == {True, False}


def test_the_same_index_gives_the_same_sample_and_another_another(
    pairs: Pairs, model: ModelSettings
) -> None:
    augmentation = Augmentation(affine=0.05)
    samples = TrainingExamples(pairs, model, augmentation, seed=1)
    again = TrainingExamples(pairs, model, augmentation, seed=1)
    turns = [samples.number_of_pair(index) for index in range(6)]
    assert sorted(turns[:3]) == sorted(turns[3:]) == [0, 1, 2]
    index = turns.index(0)
    other = turns.index(0, 3)
    assert torch.equal(samples[index].moving, again[index].moving)
    assert not torch.equal(samples[index].moving, samples[other].moving)
    assert not torch.equal(
        samples[index].moving, TrainingExamples(pairs, model, augmentation, 2)[index].moving
    )


def test_samples_that_do_not_change_are_made_once(pairs: Pairs, model: ModelSettings) -> None:
    samples = TrainingExamples(pairs, model, Augmentation(), seed=1)
    turns = [samples.number_of_pair(index) for index in range(6)]
    for index in range(6):
        sample = samples[index]
    assert pairs.made == 3
    pair = pairs[turns[5]]
    expected, _ = model.resample(pair.fixed_image, None, model.box(pair.fixed_image))
    torch.testing.assert_close(sample.fixed, expected[0])


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="expected affine of 0 or more, got -1"):
        Augmentation(affine=-1.0)
    with pytest.raises(ValueError, match="expected shift to be finite, got nan"):
        Augmentation(shift=float("nan"))
    with pytest.raises(ValueError, match=r"expected flips of 0 or more and at most 2, got \(3,\)"):
        Augmentation(flips=(3,))


def test_an_axis_that_the_model_does_not_have_is_refused(
    dimension: int, pairs: Pairs, model: ModelSettings
) -> None:
    message = r"flips of axes below 2, the model's dimension, got \(0, 2\)"
    refused = pytest.raises(ValueError, match=message) if dimension == 2 else nullcontext()
    with refused:
        TrainingExamples(pairs, model, Augmentation(flips=(0, 2)), seed=0)
