"""Folds are looked for on a grid twice as fine where that is asked for."""

from typing import Any

import numpy as np
import pytest

from benchmarks.evaluation import evaluate, mean_dice
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import jacobians


def test_the_determinants_are_those_of_the_transform_on_the_fine_grid(
    domain: ImageDomain, diffeomorphism: Any
) -> None:
    values = np.zeros(domain.size[::-1], np.float32)
    image = image_from_array(values, domain)
    pair = ImagePair(fixed=(image,), moving=(image,))
    grids = {1: domain, 2: domain.twice_as_fine()}
    found = {n: evaluate(pair, diffeomorphism, refinement=n)["log_jacobian_sd"] for n in grids}
    for refinement, grid in grids.items():
        points = grid.grid_points().reshape(-1, grid.dimension)
        expected = np.log(np.linalg.det(jacobians(diffeomorphism, points))).std()
        assert found[refinement] == pytest.approx(expected, rel=1e-4)
    assert found[1] != found[2]


def test_the_mean_of_dice_is_over_labels() -> None:
    assert mean_dice({"dice": {"1": 0.5, "2": 1.0}}) == 0.75
