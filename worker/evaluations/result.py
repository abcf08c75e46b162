"""The result of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from densitylab.worker.evaluations.intervals import bootstrap, wilson

ENOUGH_SAMPLES = 200


@dataclass(frozen=True)
class Value:
    """A metric with its 95 % interval over n; None if it, or its interval, is not defined."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    higher_is_better: bool | None


@dataclass(frozen=True)
class Curve:
    """Points (x, y), each with its 95 % interval."""

    x: list[float]
    y: list[float | None]
    low: list[float | None] | None
    high: list[float | None] | None
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Flag:
    """A warning about a result: a stable key and a sentence."""

    key: str
    text: str


@dataclass(frozen=True)
class Result:
    """Values and curves by name, flags, and arrays of one number per test image (axis 0)."""

    values: dict[str, Value]
    curves: dict[str, Curve] = field(default_factory=dict)
    flags: list[Flag] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def mean_value(values: np.ndarray, strata: np.ndarray, *, higher_is_better: bool | None) -> Value:
    """Return the mean of (n,) numbers with its stratified bootstrap interval; None if n = 0."""
    interval = bootstrap(values, strata=strata)
    if interval is None:
        return Value(None, None, None, 0, higher_is_better)
    return Value(float(values.mean()), interval.low, interval.high, len(values), higher_is_better)


def resampled(
    statistic: Callable[[np.ndarray], np.ndarray],
    strata: np.ndarray,
    *,
    n: int | None = None,
    higher_is_better: bool | None,
) -> Value:
    """Return a statistic of all samples with its stratified bootstrap interval.

    If resampling shifts the statistic (a minimum falls, a distance from 0 grows) the interval is extended to include
    the value.

    Args:
        statistic: (r, m) indices of samples -> (r,).
        strata: (m,) class or group of each sample.
        n: number of samples behind the value; None: m.
        higher_is_better: the direction; None if there is none.
    """
    everyone = np.arange(len(strata))
    interval = bootstrap(everyone, strata=strata, statistic=statistic)
    if interval is None:
        return Value(None, None, None, 0, higher_is_better)
    value = float(statistic(everyone[None])[0])
    low, high = min(interval.low, value), max(interval.high, value)
    return Value(value, low, high, len(strata) if n is None else n, higher_is_better)


def proportion(successes: int, n: int, *, higher_is_better: bool | None) -> Value:
    """Return successes / n with its Wilson interval; None if n = 0."""
    if n == 0:
        return Value(None, None, None, 0, higher_is_better)
    low, high = wilson(successes, n)
    return Value(successes / n, low, high, n, higher_is_better)


def few_samples(n: int, available: int, of: str = "", key: str = "few_samples") -> list[Flag]:
    """Return a flag if there are fewer than 200 samples.

    Args:
        n: number of samples.
        available: number of samples that the data set has.
        of: names their set.
        key: of the flag.
    """
    if n >= ENOUGH_SAMPLES:
        return []
    images = f"images {of}".rstrip()
    remedy = "the data set has no more; more seeds narrow the spread of trainings, not that of images"
    if available > n:
        remedy = f"evaluate on {'at least 200' if available >= ENOUGH_SAMPLES else f'all {available}'} {images}"
    return [
        Flag(
            key,
            f"Evaluated on {n} {images} only: the interval is wide, and a difference between models may be chance. "
            f"Next: {remedy}.",
        )
    ]


def few_of_group(n: int, available: int) -> list[Flag]:
    """Return a flag if the smallest group has fewer than 200 samples; the arguments are those of `few_samples`."""
    return few_samples(n, available, of="of the smallest group", key="few_of_group")


def at_chance(correct: np.ndarray, classes: int) -> list[Flag]:
    """Return a flag if the model may be guessing: the interval of its accuracy includes 1 / classes."""
    n, right = len(correct), int(correct.sum())
    if n == 0 or wilson(right, n).low > 1 / classes:
        return []
    return [
        Flag(
            "at_chance",
            f"{right} of {n} images are classified correctly; by guessing it is 1 in {classes}. Evaluations "
            "of such a model show nothing about the features that it uses. Next: train it longer, with a "
            "smaller λ or another learning rate.",
        )
    ]
