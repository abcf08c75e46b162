"""95 % intervals: Wilson for proportions, Student t over seeds, bootstrap for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Z = 1.959963984540054  # the 97.5 % point of the standard normal distribution
INDICES_AT_ONCE = 4_000_000  # bounds the memory of a bootstrap


class Interval(NamedTuple):
    """Ends of a 95 % interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """The score interval of a proportion (Wilson 1927).

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n), p = successes/n; (0, 1) where n = 0.

    Raises:
        ValueError: successes is not between 0 and n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"expected successes between 0 and n = {n}, got {successes}")
    if n == 0:
        return Interval(0.0, 1.0)
    p = successes / n
    centre = p + Z**2 / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    # at the ends one bound is exactly 0 or 1, which rounding would miss
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return Interval(low, high)


def student_t(values: np.ndarray) -> Interval | None:
    """mean ± t_{0.975, n−1} · s / √n of (n,) values, such as one per seed; None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    mean = float(np.mean(values))
    half = _t_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean - half, mean + half)


def bootstrap(
    values: np.ndarray,
    *,
    strata: np.ndarray | None = None,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """Percentile interval of a statistic over resampled samples (Efron, Tibshirani 1993).

    Each stratum keeps its size and its positions. The draws depend on `seed` and `strata` alone, so the
    resamples of two models on the same samples are paired.

    Args:
        values: (n,) one number per sample.
        strata: (n,) class or group of each sample; None: all in one.
        statistic: (r, n) resampled values -> (r,); None: the mean.
        resamples: how many.
        seed: of the draws.

    Returns:
        The 2.5 % and 97.5 % points; None where there is no sample.
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


def _t_quantile(degrees: int) -> float:
    """The 97.5 % point of Student's t with a whole number of degrees of freedom.

    With θ = arctan(t/√ν), P(|T| < t) is a finite sum in sin θ and cos θ (Abramowitz and Stegun 26.7.3-4),
    which grows with θ and is solved by halving.
    """
    # factors of successive terms: odd ν: 2/3, 4/5, ...; even ν: 1/2, 3/4, ...
    odd = degrees % 2 == 1
    k = np.arange(2 if odd else 1, degrees - 1, 2, dtype=float)
    coefficients = np.concatenate([[1.0], np.cumprod(k / (k + 1))])
    powers = 2.0 * np.arange(len(coefficients)) + (1 if odd else 0)

    def inside(theta: float) -> float:
        series = math.sin(theta) * float(np.sum(coefficients * math.cos(theta) ** powers))
        if not odd:
            return series
        return 2 / math.pi * (theta + (series if degrees > 1 else 0.0))

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 0.95 else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)
