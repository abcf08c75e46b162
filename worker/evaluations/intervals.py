"""95 % intervals: Wilson for proportions, bootstrap for everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

INDICES_AT_ONCE = 4_000_000  # bounds the memory of a bootstrap


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Return the score interval of the proportion successes / n (Wilson 1927), (0, 1) if n = 0.

    Raises:
        ValueError: successes is not between 0 and n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"expected successes between 0 and n = {n}, got {successes}")
    if n == 0:
        return Interval(0.0, 1.0)
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def bootstrap(
    values: np.ndarray,
    *,
    strata: np.ndarray | None = None,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """Return the percentile interval of a statistic over resamples (Efron, Tibshirani 1993).

    Each stratum keeps its size and its positions. The draws depend only on `seed` and `strata`, so the resamples of two
    models on the same samples are paired.

    Args:
        values: (n,) one number per sample.
        strata: (n,) class or group of each sample; None: a single stratum.
        statistic: (r, n) resampled values -> (r,); None: the mean.
        resamples: their number.
        seed: of the draws.

    Returns:
        The 2.5 % and 97.5 % points; None if there are no samples.
    """
    n = len(values)
    if n == 0:
        return None
    members = [np.arange(n)] if strata is None else [np.flatnonzero(strata == s) for s in np.unique(strata)]
    rng = np.random.default_rng(seed)
    rows = max(1, min(resamples, INDICES_AT_ONCE // n))
    results = []
    for begin in range(0, resamples, rows):
        count = min(rows, resamples - begin)
        indices = np.empty((count, n), np.int64)
        for member in members:
            indices[:, member] = member[rng.integers(0, len(member), (count, len(member)))]
        drawn = values[indices]
        results.append(drawn.mean(axis=1) if statistic is None else statistic(drawn))
    low, high = np.quantile(np.concatenate(results), [0.025, 0.975])
    return Interval(float(low), float(high))
