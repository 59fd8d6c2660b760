"""Summaries of many numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
"""How often a bootstrap draws the values anew."""


def statistics(
    errors: npt.NDArray[np.floating], names: Sequence[str] = ("mean", "median", "p95", "max")
) -> dict[str, float]:
    """Return statistics of errors, by name.

    Parameters
    ----------
    errors : array, shape (N,)
        In any unit, which is also that of the statistics.
    names : sequence of str
        Which ones; ``p95`` is the 95th percentile.
    """
    values = {
        "mean": errors.mean(),
        "median": np.median(errors),
        "p95": np.percentile(errors, 95),
        "max": errors.max(),
    }
    return {name: float(values[name]) for name in names}


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean.

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
    rng = np.random.default_rng(seed)
    means = [rng.choice(array, len(array)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
