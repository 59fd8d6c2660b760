"""Pairs are read as they were written."""

from pathlib import Path

import itk
import numpy as np
import pytest

from benchmarks.pairs import read_landmarks, read_pair, without_masks, write_phantom
from itk_nephi.phantoms.pairs import lung, triangles_and_circles


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_phantom_is_read_as_it_was_written(dimension: int, tmp_path: Path) -> None:
    phantom = lung(dimension, size=(32, 28, 24)[:dimension]).pair
    pair = write_phantom(phantom, tmp_path)
    found = read_pair(pair, "moments")
    assert found.images.keys() == phantom.images.keys()
    for name, image in phantom.images.items():
        np.testing.assert_array_equal(found.images[name], image)
    np.testing.assert_array_equal(read_landmarks(pair), phantom.evaluation_landmarks)
    assert found.initial_transform == "moments"
    assert read_pair(without_masks(pair)).fixed_mask is None


def test_masks_that_are_the_whole_image_are_left_out(tmp_path: Path) -> None:
    pair = write_phantom(triangles_and_circles(2), tmp_path)
    assert set(pair) == {"fixed", "moving", "fixed_labels", "moving_labels"}
    assert itk.imread(pair["fixed"]).GetImageDimension() == 2
    with pytest.raises(ValueError, match="expected a pair with evaluation_landmarks, got fixed"):
        read_landmarks(pair)
