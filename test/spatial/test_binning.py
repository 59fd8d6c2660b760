"""Averages over blocks of voxels lie where the voxels lay."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.preparation import bin_image, block_size


@pytest.mark.parametrize("share", [1, 2, 5, 10, 1000])
def test_a_linear_image_stays_the_same_function_of_space(domain: ImageDomain, share: int) -> None:
    slope = np.arange(1, domain.dimension + 1)
    few = np.prod(domain.size) // share
    values, found = bin_image(domain.grid_points() @ slope, domain, few)
    np.testing.assert_allclose(values, found.grid_points() @ slope, rtol=1e-5)
    assert values.size <= max(few, 2**domain.dimension)
    assert values.shape == found.size[::-1]


def test_a_small_image_stays_as_it_is(domain: ImageDomain) -> None:
    values = np.arange(np.prod(domain.size)).reshape(domain.size[::-1])
    found, grid = bin_image(values, domain, values.size)
    assert found is values
    assert grid == domain


def test_blocks_become_as_long_as_they_are_wide() -> None:
    thick = ImageDomain((512, 512, 100), (0.7, 0.7, 2.5), (0.0,) * 3, ROWS)
    assert block_size(thick, 512 * 512 * 100) == (1, 1, 1)
    assert block_size(thick, 8_000_000) == (2, 2, 1)
    assert block_size(thick, 3_000_000) == (3, 3, 1)


ROWS: Any = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def test_a_large_image_takes_no_second_copy() -> None:
    values = np.random.default_rng(0).random((200, 200, 200), dtype=np.float32)
    domain = ImageDomain((200,) * 3, (1.0,) * 3, (0.0,) * 3, ROWS)
    tracemalloc.start()
    averages, _ = bin_image(values, domain, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert averages.size == 100**3
    assert peak < 1.5 * averages.nbytes
