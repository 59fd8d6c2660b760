"""A result that is worse than the start is found, and register() warns of it where it is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.registrations import HASTY
from torch import Tensor

from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.series import register_series


def opposite(fixed: Tensor, moving: Tensor, weights: Tensor) -> Tensor:
    """A dissimilarity that is right only while it is not looked at with gradients."""
    sign = -1 if moving.requires_grad else 1
    return sign * 10 * (weights[:, None] * (fixed - moving).square()).mean()


def test_a_result_worse_than_the_start_is_warned_of_where_it_was_asked_for() -> None:
    shape = deformed_shape(2, size=24, motion=2, seed=1).pair
    settings = replace(HASTY, dissimilarity=opposite, gradicon_weight=0.1, steps=20)
    message = (
        r"less alike than before, fixed and (\S+): dissimilarity [\d.]+ after the initial .*, "
        r"[\d.]+ after"
    )
    with pytest.warns(UserWarning, match=message) as one:
        register(shape.fixed, shape.moving, initial_transform=None, settings=settings)
    with pytest.warns(UserWarning, match=message) as two:
        register_series(shape.fixed_image, [shape.moving_image] * 2, settings=settings)
    warned = [each for each in (*one, *two) if each.category is UserWarning]
    named = [str(each.message).partition("fixed and ")[2].partition(":")[0] for each in warned]
    assert named == ["moving", "images[0]", "images[1]"]
    assert {Path(warning.filename) for warning in warned} == {Path(__file__)}
