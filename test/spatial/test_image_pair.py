"""An image pair holds what belongs together, and says at once what does not."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair


def drawn(dimension: int, seed: int = 0) -> Any:
    domain = ImageDomain(
        size=(5, 4, 3)[:dimension],
        spacing=(0.7, 1.1, 2.3)[:dimension],
        origin=(-9.0, 31.0, 4.0)[:dimension],
        direction=tuple(tuple(row) for row in np.eye(dimension).tolist()),
    )
    values = np.random.default_rng(seed).random(domain.size[::-1], np.float32)
    return image_from_array(values, domain)


def points(count: int, dimension: int) -> Any:
    return np.zeros((count, dimension))


@pytest.fixture
def pair(dimension: int) -> ImagePair:
    return ImagePair(fixed=(drawn(dimension, 0),), moving=(drawn(dimension, 1),))


def test_two_images_are_a_pair(pair: ImagePair, dimension: int) -> None:
    assert pair.dimension == dimension
    assert pair.fixed_image is pair.fixed[0]
    assert pair.moving_image is pair.moving[0]
    assert pair.initial_transform == "affine"
    for name in ("channel_weights", "fixed_mask", "moving_mask", "labels"):
        assert getattr(pair, name) is None
    assert pair.guide_landmarks is pair.evaluation_landmarks is None
    assert pair.sources == {}


def test_the_first_of_several_images_gives_the_grid(pair: ImagePair, dimension: int) -> None:
    several = replace(
        pair,
        fixed=(*pair.fixed, drawn(dimension, 2)),
        moving=(*pair.moving, drawn(dimension, 3)),
        channel_weights=(1.0, 0.5),
    )
    assert several.fixed_image is pair.fixed_image
    assert several.moving_image is pair.moving_image


def test_every_image_has_its_name(pair: ImagePair, dimension: int) -> None:
    fixed, moving = drawn(dimension, 2), drawn(dimension, 3)
    both = replace(pair, moving_mask=moving, labels=(fixed, moving))
    assert list(both.images) == ["fixed", "moving", "moving_mask", "fixed_labels", "moving_labels"]
    assert both.images["moving_labels"] is moving
    several = replace(pair, fixed=(*pair.fixed, fixed), moving=(*pair.moving, moving))
    assert list(several.images) == ["fixed", "fixed_channel_1", "moving", "moving_channel_1"]


def test_guide_landmarks_may_have_weights(pair: ImagePair, dimension: int) -> None:
    both = points(6, dimension), points(6, dimension)
    assert replace(pair, guide_landmarks=both).guide_landmarks is both
    weighted = (*both, np.ones(6))
    assert replace(pair, guide_landmarks=weighted).guide_landmarks is weighted


def test_a_pair_does_not_change(pair: ImagePair) -> None:
    with pytest.raises(FrozenInstanceError):
        pair.fixed_mask = pair.fixed_image  # type: ignore[misc]


FIXED, MOVING = drawn(3, 0), drawn(3, 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"fixed": FIXED}, TypeError, "expected fixed to be a tuple of images, got itkImageF3"),
        ({"moving": [MOVING]}, TypeError, "expected moving to be a tuple of images, got list"),
        ({"fixed": ()}, ValueError, "expected fixed to be one or more images, got none"),
        ({"moving": (np.ones(3),)}, TypeError, "expected moving to be an itk.Image, got ndarray"),
        (
            {"fixed": (FIXED, None), "moving": (MOVING, MOVING)},
            TypeError,
            "expected fixed_channel_1 to be an itk.Image, got NoneType",
        ),
        ({"fixed_mask": 1}, TypeError, "expected fixed_mask to be an itk.Image, got int"),
        ({"moving": (drawn(2),)}, ValueError, "expected moving in 3 dimensions like fixed, got 2"),
        (
            {"fixed": (FIXED, FIXED), "moving": (MOVING, drawn(2))},
            ValueError,
            "expected moving_channel_1 in 3 dimensions like fixed, got 2",
        ),
        (
            {"moving_mask": drawn(2)},
            ValueError,
            "expected moving_mask in 3 dimensions like fixed, got 2",
        ),
        (
            {"labels": (FIXED, drawn(2))},
            ValueError,
            "expected moving_labels in 3 dimensions like fixed, got 2",
        ),
        (
            {"moving": (MOVING, MOVING)},
            ValueError,
            "expected as many moving as fixed images, got 2 and 1",
        ),
        (
            {"channel_weights": (1.0, 2.0)},
            ValueError,
            "for each image of a subject, 1 in all, got (1.0, 2.0)",
        ),
        (
            {"channel_weights": (0.0,)},
            ValueError,
            "expected channel_weights to be a number of more than 0 for each image",
        ),
        (
            {"evaluation_landmarks": (points(5, 3), points(4, 3))},
            ValueError,
            "expected evaluation_landmarks of shape (N, 3) in both images, got (5, 3) and (4, 3)",
        ),
        (
            {"evaluation_landmarks": (points(5, 3), points(5, 3), np.ones(5))},
            ValueError,
            "expected evaluation_landmarks of shape (N, 3) in both images, got (5, 3) and (5, 3) "
            "and (5,)",
        ),
        (
            {"evaluation_landmarks": (points(0, 3), points(0, 3))},
            ValueError,
            "expected evaluation_landmarks of shape (N, 3) in both images, got (0, 3) and (0, 3)",
        ),
        (
            {"guide_landmarks": (points(5, 2), points(5, 2))},
            ValueError,
            "expected guide_landmarks of shape (N, 3) in both images and perhaps weights of shape "
            "(N,), got (5, 2) and (5, 2)",
        ),
        (
            {"guide_landmarks": (points(5, 3), points(5, 3), np.ones(4))},
            ValueError,
            "got (5, 3) and (5, 3) and (4,)",
        ),
        ({"guide_landmarks": ()}, ValueError, "perhaps weights of shape (N,), got none"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        ImagePair(**{"fixed": (FIXED,), "moving": (MOVING,)} | changes)
