"""Summaries of many numbers, and numbers as text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
"""How often a bootstrap draws the values anew."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What many values are like, in their unit.

    Parameters
    ----------
    count : int
        How many values.
    mean, median, max : float
        Of the values.
    p95 : float
        Their 95th percentile.
    """

    count: int
    mean: float
    median: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Statistics:
        """Summarize values, shape (N,), at least one."""
        array = np.asarray(values, dtype=float)
        return cls(
            count=len(array),
            mean=float(array.mean()),
            median=float(np.median(array)),
            p95=float(np.percentile(array, 95)),
            max=float(array.max()),
        )


def rounded(value: float | None, decimals: int = 2) -> str:
    """Return a number as text, two digits where its decimals would be zeros; a dash for none."""
    if value is None or value != value:
        return "-"
    is_small = 0 < abs(value) < 10 ** (1 - decimals)
    return f"{value:.2g}" if is_small else f"{value:,.{decimals}f}"


def percentage(fraction: float) -> str:
    """Return a fraction in percent, rounded."""
    return f"{rounded(100 * fraction)}%"


def fewest_values(level: float = 0.95) -> int:
    """Return how many values an interval takes: six at 95 %.

    Of fewer, all are above the median of what they are drawn from, or all below, more often than
    the level allows: what lies between them covers too little.
    """
    return 1 - math.floor(math.log2(1 - level))


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of a mean; None of fewer than six values, at 95 %.

    Parameters
    ----------
    values : array, shape (N,)
        One value for each pair.
    level : float
        How probable it is, in (0, 1), that the interval covers the mean.
    seed : int
        Of the draws.

    References
    ----------
    Efron, Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    array = np.asarray(values, dtype=float)
    if len(array) < fewest_values(level):
        return None
    rng = np.random.default_rng(seed)
    means = [rng.choice(array, len(array)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
