import math
from dataclasses import fields

import pytest

from itk_nephi.losses.settings import SIMILARITIES, ObjectiveWeights
from itk_nephi.losses.similarity import Similarity


def test_the_names_are_those_that_compare() -> None:
    assert len(set(SIMILARITIES)) == len(SIMILARITIES) == 6
    for name in set(SIMILARITIES) - {"windowed_ncc"}:  # which compares windows, not points
        assert callable(Similarity.of(name, voxel=1.0).dissimilarity)
    with pytest.raises(ValueError, match=f"to be one of {', '.join(SIMILARITIES)}, got 'ssd'"):
        Similarity.of("ssd", voxel=1.0)


@pytest.mark.parametrize("name", [field.name for field in fields(ObjectiveWeights)])
def test_a_term_may_be_left_out_and_never_rewarded(name: str) -> None:
    assert name.endswith("_weight")
    assert getattr(ObjectiveWeights(**{name: 0.0}), name) == 0
    for value in (-1e-9, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"expected {name} "):
            ObjectiveWeights(**{name: value})
