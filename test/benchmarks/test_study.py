"""What sums up many trials is right."""

from typing import Any

import numpy as np

from benchmarks.study import count_failures, mean_interval, pair_up, select, spread, tabulate

TRIALS: list[dict[str, Any]] = [
    {"method": "nephi", "pair": "a", "seed": 0, "seconds": 1.0},
    {"method": "elastix", "pair": "a", "seed": 0, "seconds": 3.0},
    {"method": "nephi", "pair": "b", "seed": 0, "seconds": 2.0},
    {"method": "elastix", "pair": "b", "seed": 0, "error": "too few samples"},
    {"method": "elastix", "pair": "a", "seed": 1, "seconds": 5.0},
]


def test_failed_trials_are_counted_and_left_out() -> None:
    assert [trial["seconds"] for trial in select(TRIALS, method="elastix")] == [3.0, 5.0]
    assert count_failures(TRIALS, method="elastix") == "1"
    assert count_failures(TRIALS, method="nephi") == "0"


def test_trials_are_paired_on_the_same_pair_and_seed() -> None:
    both = pair_up(TRIALS, "elastix", "nephi")
    assert [(mine["seconds"], other["seconds"]) for mine, other in both] == [(3.0, 1.0)]


def test_the_interval_of_a_mean_covers_as_that_of_a_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    mean, low, high = (
        float(part.strip("(,)"))
        for part in mean_interval(values.tolist()).replace(" to ", " ").split()
    )
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose(
        [mean, low, high], values.mean() + np.array([0, -half, half]), atol=0.02
    )


def test_spread_is_the_mean_and_the_standard_deviation() -> None:
    assert spread([]) == "-"
    assert spread([1.0], 1) == "1.0"
    assert spread([1.0, 3.0], 2) == "2.00 ± 1.41"


def test_a_table_is_markdown() -> None:
    assert tabulate(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
