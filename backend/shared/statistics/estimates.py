"""Means over seeds with 95 % intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from densitylab.backend.shared.statistics import distributions
from densitylab.backend.shared.statistics.bounds import SHARE, UNBOUNDED, Bounds, clipped

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over n values with its 95 % interval, which needs n of at least 2 unless the values are proportions."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """The larger distance from the mean to an end of the interval."""
        return None if self.high is None or self.low is None else max(self.high - self.mean, self.mean - self.low)

    @property
    def symmetric(self) -> bool:
        """Return True if both ends have the same distance from the mean, or there is no interval."""
        if self.low is None or self.high is None:
            return True
        return math.isclose(self.high - self.mean, self.mean - self.low, rel_tol=1e-6, abs_tol=1e-12)


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return t with P(|T| ≤ t) = confidence for `degrees` (≥ 1) degrees of freedom."""
    if degrees < 1:
        raise ValueError(f"expected at least 1 degree of freedom, got {degrees}")
    return distributions.t_quantile((1 + confidence) / 2, degrees)


def standard_deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of at least two values, with n − 1 in the denominator."""
    mean = fmean(values)
    # statistics.stdev computes in fractions, which is slow
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def estimate(values: Sequence[float], bounds: Bounds = UNBOUNDED) -> Estimate | None:
    """Return the mean with its 95 % Student-t interval; None of no values.

    Args:
        values: one per seed.
        bounds: lowest and highest possible value, at which the interval ends; not used if a value lies beyond.
    """
    if not values:
        return None
    mean, n = fmean(values), len(values)
    if n == 1:
        return Estimate(mean, None, None, 1)
    half = t_quantile(n - 1) * standard_deviation(values) / math.sqrt(n)
    return Estimate(mean, *clipped(mean - half, mean + half, values, bounds), n)


def wilson(proportion: float, n: float) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion of n trials (Wilson 1927); (0, 1) if n is 0."""
    if n == 0:
        return 0.0, 1.0
    z2 = distributions.normal_quantile((1 + CONFIDENCE) / 2) ** 2
    center = (proportion + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (proportion * (1 - proportion) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = 0.0 if proportion == 0 else max(center - half, 0.0)
    high = 1.0 if proportion == 1 else min(center + half, 1.0)
    return low, high


def estimate_proportion(values: Sequence[float], images: Sequence[int]) -> Estimate | None:
    """Return the mean of proportions over seeds with a 95 % interval that stays in [0, 1]; None of no values.

    The interval covers both the Student-t interval over seeds, clipped, and Wilson's of all images of all seeds
    together: seeds that agree exactly still leave the error of their images. Of 0 right in 3 × 500 images its upper end
    is 0.0026.

    Args:
        values: one proportion per seed.
        images: the number of images of each.
    """
    over_seeds = estimate(values, SHARE)
    if over_seeds is None or over_seeds.low is None or over_seeds.high is None:
        return over_seeds
    low, high = wilson(over_seeds.mean, sum(images))
    return Estimate(over_seeds.mean, min(low, over_seeds.low), max(high, over_seeds.high), over_seeds.n)
