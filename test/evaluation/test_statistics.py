from __future__ import annotations

import numpy as np
import pytest

from itk_nephi.evaluation.statistics import Statistics, bootstrap_interval


def test_statistics_have_their_known_values() -> None:
    errors = np.random.default_rng(1).permutation(np.arange(101.0) ** 2)
    expected = Statistics(count=101, mean=3350, median=2500, p95=9025, max=10_000)
    assert Statistics.of(errors) == expected


def test_the_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(4).normal(0.3, 2.0, 400)
    half = 1.96 * values.std() / np.sqrt(len(values))
    low, high = bootstrap_interval(values)
    # the quantiles of 10,000 draws are known to about 2 % of the half width
    assert low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_the_interval_turns_with_the_sign_and_shrinks_with_the_level() -> None:
    values = np.random.default_rng(4).exponential(size=30)
    low, high = bootstrap_interval(values)
    assert bootstrap_interval(-values) == pytest.approx((-high, -low))
    narrow = bootstrap_interval(values, level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_the_interval_of_equal_values_is_that_value() -> None:
    assert bootstrap_interval([0.25] * 7) == (0.25, 0.25)
