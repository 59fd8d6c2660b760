"""Other representations are optimized as the package's own."""

import numpy as np
import pytest

from benchmarks.representations import REPRESENTATIONS, cubic_basis, represented_by
from itk_nephi import FieldSettings, RegistrationSettings, register
from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.spatial.transforms import flatten


def test_cubic_b_splines_take_squares_to_squares() -> None:
    vertices = np.arange(9.0)
    basis = cubic_basis(9, 33).numpy()
    place = np.linspace(0, 8, 33)
    inside = (place >= 1) & (place <= 7)  # where no border value is repeated
    np.testing.assert_allclose(basis.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((basis @ vertices)[inside], place[inside], atol=1e-5)
    # a known property of uniform cubic B-splines
    np.testing.assert_allclose((basis @ vertices**2)[inside], place[inside] ** 2 + 1 / 3, atol=1e-5)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_other_representations_bring_a_pair_together(name: str) -> None:
    pair = deformed_shape(2, size=40, motion=3.0, seed=1).pair
    settings = RegistrationSettings(
        field=FieldSettings(width=24, frequencies=12, local_grid=9, local_channels=4), steps=40
    )
    with represented_by(name):
        found = register(pair.fixed, pair.moving, initial_transform=None, settings=settings)
    before, after = (
        landmark_errors(transform, *pair.evaluation_landmarks).mean()
        for transform in (found.initial_transform, found.fixed_to_moving)
    )
    assert after < before / 2
    assert len(found.history) == 80
    usual = register(pair.fixed, pair.moving, initial_transform=None, settings=settings)
    ways = [np.array(flatten(r.fixed_to_moving)[0].GetParameters()) for r in (found, usual)]
    assert len(ways[0]) != len(ways[1]) or not np.allclose(*ways)
