from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from itk_nephi.evaluation.statistics import (
    Statistics,
    bootstrap_interval,
    fewest_values,
    percentage,
    rounded,
)


def interval_of(values: npt.ArrayLike, level: float = 0.95) -> tuple[float, float]:
    found = bootstrap_interval(values, level=level)
    assert found is not None
    return found


def test_statistics_have_their_known_values() -> None:
    errors = np.random.default_rng(1).permutation(np.arange(101.0) ** 2)
    expected = Statistics(count=101, mean=3350, median=2500, p95=9025, max=10_000)
    assert Statistics.of(errors) == expected


def test_the_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(4).normal(0.3, 2.0, 400)
    half = 1.96 * values.std() / np.sqrt(len(values))
    low, high = interval_of(values)
    # the quantiles of 10,000 draws are known to about 2 % of the half width
    assert low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_the_interval_turns_with_the_sign_and_shrinks_with_the_level() -> None:
    values = np.random.default_rng(4).exponential(size=30)
    low, high = interval_of(values)
    assert interval_of(-values) == pytest.approx((-high, -low))
    narrow = interval_of(values, 0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_the_interval_of_equal_values_is_that_value() -> None:
    assert bootstrap_interval([0.25] * 7) == (0.25, 0.25)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_too_few_values_have_no_interval(level: float) -> None:
    few = fewest_values(level)
    values = np.random.default_rng(2).normal(size=few)
    assert bootstrap_interval(values, level=level) is not None
    assert bootstrap_interval(values[1:], level=level) is None
    # how often all values lie on one side of the median
    assert 2 * 0.5**few <= 1 - level < 2 * 0.5 ** (few - 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (1234.5, "1,234.50"),
        (0.25, "0.25"),
        (0.0123, "0.012"),
        (-3e-5, "-3e-05"),
        (None, "-"),
        (np.nan, "-"),
    ],
)
def test_a_number_that_is_not_zero_is_not_shown_as_zero(value: float | None, text: str) -> None:
    assert rounded(value) == text
    assert value is None or percentage(value / 100) == f"{text}%"
