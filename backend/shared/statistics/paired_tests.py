"""Paired tests by seed and by image, Holm's correction, effect sizes, and the number of seeds for a decision."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from densitylab.backend.shared.statistics import distributions
from densitylab.backend.shared.statistics.bounds import UNBOUNDED, Bounds, clipped
from densitylab.backend.shared.statistics.estimates import (
    CONFIDENCE,
    Estimate,
    estimate,
    standard_deviation,
    t_quantile,
)

ALPHA = 1 - CONFIDENCE
POWER = 0.8  # of the number of seeds that a decision would need
MOST_SEEDS = 1000  # a larger number is not computed
RESAMPLES = 2000


@dataclass(frozen=True)
class PairedTest(Estimate):
    """A mean difference over n seeds with its interval, and the t test of whether it is zero."""

    p: float | None  # two-sided; None: fewer than two seeds, or differences that are all the same
    effect_size: float | None  # mean / standard deviation of the differences (Cohen's d_z)
    spread: float | None  # standard deviation of the differences

    def p_against(self, threshold: float) -> float | None:
        """Return the two-sided p value of the t test of whether the mean is `threshold`; None where the spread is not
        known or zero."""
        if not self.spread:
            return None
        t = abs(self.mean - threshold) / (self.spread / math.sqrt(self.n))
        return 2 * distributions.t_probability(-t, self.n - 1)

    def seeds_needed(self, threshold: float = 0.0, alpha: float = ALPHA) -> int | None:
        """Return how many seeds would tell the difference from `threshold`, if mean and spread stayed as they are.

        None: the spread is not known, or it takes more than MOST_SEEDS.
        """
        if self.spread is None:
            return None
        return seeds_needed(abs(self.mean - threshold), self.spread, alpha)


@dataclass(frozen=True)
class ImageTest:
    """A test between two runs on the same n images."""

    name: str  # "mcnemar" or "bootstrap"
    difference: float  # mean over the images, or of their worst groups
    low: float
    high: float
    n: int
    p: float  # two-sided
    only_first: int | None  # images right under the first run alone; None: values are not right or wrong
    only_second: int | None


def paired_t(differences: Sequence[float], *, resolution: float = 0.0, bounds: Bounds = UNBOUNDED) -> PairedTest | None:
    """Test whether the mean difference over seeds is zero; None of no differences.

    Args:
        differences: one per seed.
        resolution: the step of the two values that were subtracted, such as 1 / images for proportions. The spread is
            taken to be no smaller than that of their rounding, resolution / √6.
        bounds: lowest and highest possible difference, at which the interval ends; the test does not use them.
    """
    own = estimate(differences)
    if own is None:
        return None
    if own.n == 1:
        return PairedTest(own.mean, None, None, 1, None, None, None)
    spread = max(standard_deviation(differences), resolution / math.sqrt(6))
    if spread == 0:
        return PairedTest(own.mean, own.low, own.high, own.n, 1.0 if own.mean == 0 else None, None, None)
    error = spread / math.sqrt(own.n)
    half = t_quantile(own.n - 1) * error
    p = 2 * distributions.t_probability(-abs(own.mean) / error, own.n - 1)
    low, high = clipped(own.mean - half, own.mean + half, differences, bounds)
    return PairedTest(own.mean, low, high, own.n, p, own.mean / spread, spread)


def seeds_needed(distance: float, spread: float, alpha: float = ALPHA) -> int | None:
    """Return the smallest number of seeds, from 2, whose paired t test finds `distance` with probability 0.8.

    Power by the noncentral t distribution (Cohen 1988, chapter 2), with a normal spread of the differences over seeds.
    `alpha` is the two-sided level of the test. None: more than MOST_SEEDS.
    """
    if spread == 0:
        return 2 if distance else None

    def found(n: int) -> float:
        shift = distance / spread * math.sqrt(n)
        return 1 - distributions.noncentral_t_probability(t_quantile(n - 1, 1 - alpha), n - 1, shift)

    few, many = 1, 2  # `few` is too few
    while many <= MOST_SEEDS and found(many) < POWER:
        few, many = many, 2 * many
    if many > MOST_SEEDS:
        if found(MOST_SEEDS) < POWER:
            return None
        many = MOST_SEEDS
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if found(middle) >= POWER else (middle, many)
    return many


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for all tests of a table (Holm 1979): those up to 0.05 are found with at most 5 % error
    in the whole table."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p value of McNemar's test (1947) from the images that one of two runs alone has
    right."""
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    return min(1.0, 2 * distributions.binomial_probability(min(only_first, only_second), discordant, 0.5))


def compare_images(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> ImageTest:
    """Compare two runs on the same images: McNemar for values of 0 and 1, else a paired bootstrap of the mean.

    The interval is the bootstrap's 2.5 % and 97.5 % points in both cases.

    Args:
        first: (N,) a number per image, N at least 1.
        second: (N,) the other run's, in the same order.
        seed: of the resamples.

    Raises:
        ValueError: the shapes differ, or there is no image.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise ValueError(f"expected two arrays (N,) of the same images, got {a.shape} and {b.shape}")
    differences = a - b
    tested = _bootstrap(float(differences.mean()), _resampled_means(differences, seed), len(differences))
    if np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all():
        ours, theirs = int((differences > 0).sum()), int((differences < 0).sum())
        return replace(tested, name="mcnemar", p=mcnemar(ours, theirs), only_first=ours, only_second=theirs)
    return tested


def compare_worst_groups(first: ArrayLike, second: ArrayLike, groups: ArrayLike, *, seed: int = 0) -> ImageTest:
    """Compare the lowest mean of a group under two models on the same images, as the mean difference over seeds: a
    bootstrap stratified by group (Efron, Tibshirani 1993, section 8.3).

    Args:
        first: (S, N) a number per seed and image, S and N at least 1.
        second: (S, N) the other model's, in the same order.
        groups: (N,) of each image.
        seed: of the resamples.

    Raises:
        ValueError: the shapes differ, or there is no image.
    """
    values, members = np.stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)]), np.asarray(groups)
    if values.ndim != 3 or members.shape != values.shape[2:] or not values.size:
        raise ValueError(f"expected two arrays (S, N) and the groups (N,), got {values.shape[1:]} and {members.shape}")
    rng = np.random.default_rng(seed)
    lowest = np.full(values.shape[:2], np.inf)
    resampled = np.full((*values.shape[:2], RESAMPLES), np.inf)
    for group in np.unique(members):
        own = values[..., members == group]
        size = own.shape[-1]
        lowest = np.minimum(lowest, own.mean(axis=-1))
        for begin, count in _blocks(size):
            drawn = rng.integers(0, size, (count, size)) + size * np.arange(count)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size) / size
            block = resampled[..., begin : begin + count]
            np.minimum(block, own @ weights.T, out=block)
    draws = (resampled[0] - resampled[1]).mean(axis=0)
    return _bootstrap(float((lowest[0] - lowest[1]).mean()), draws, len(members))


def _bootstrap(difference: float, draws: NDArray[np.float64], n: int) -> ImageTest:
    low, high = (float(point) for point in np.quantile(draws, [ALPHA / 2, 1 - ALPHA / 2]))
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * (int(tail) + 1) / (len(draws) + 1))  # Davison, Hinkley 1997, section 4.2: never 0
    return ImageTest("bootstrap", difference, low, high, n, p, None, None)


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the means of RESAMPLES draws with replacement."""
    rng = np.random.default_rng(seed)
    n = len(values)
    return np.concatenate([values[rng.integers(0, n, (count, n))].mean(axis=1) for _, count in _blocks(n)])


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    """Yield the beginnings and lengths of blocks of the resamples of `size` values, which bound the memory."""
    rows = max(1, 2_000_000 // size)
    for begin in range(0, RESAMPLES, rows):
        yield begin, min(rows, RESAMPLES - begin)
