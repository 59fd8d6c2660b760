import numpy as np
import pytest

from itk_nephi.losses.settings import ObjectiveWeights
from itk_nephi.training.settings import TrainingSettings


def test_learning_rates_rise_and_fall() -> None:
    settings = TrainingSettings(steps=100, warm_up=10)
    shares = [settings.learning_rate(step) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] > 0.97
    assert shares[99] < 1e-3
    assert shares[9:] == sorted(shares[9:], reverse=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warm_up": 0}, "expected warm_up of at least 1, got 0"),
        ({"gradicon_weight": -1.0}, "expected gradicon_weight of 0 or more, got -1.0"),
        ({"points": 50}, "expected regularizer_points of at most points, 50, got 100"),
        ({"similarity": "x"}, "expected similarity to be one of"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**changes)  # type: ignore[arg-type]


def test_the_fall_is_half_a_cosine() -> None:
    settings = TrainingSettings(steps=400, warm_up=1)
    shares = [settings.learning_rate(step) for step in (0, 100, 200, 300)]
    np.testing.assert_allclose(shares, [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2])


def test_the_objective_takes_its_weights_from_them() -> None:
    assert isinstance(TrainingSettings(), ObjectiveWeights)
