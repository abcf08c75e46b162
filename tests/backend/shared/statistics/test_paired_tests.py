"""Tests by seed and by image against SciPy, closed forms and published figures."""

import math

import numpy as np
import pytest
from scipy import stats

from densitylab.backend.shared.statistics.paired_tests import (
    MOST_SEEDS,
    compare_images,
    compare_worst_groups,
    holm,
    mcnemar,
    paired_t,
    seeds_needed,
)


@pytest.mark.parametrize("seed", range(5))
def test_the_paired_t_test_is_scipys(seed: int):
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(0.5, 0.1, (2, 3 + seed))
    test, reference = paired_t(list(ours - theirs)), stats.ttest_rel(ours, theirs)
    assert test is not None and test.p == pytest.approx(reference.pvalue, rel=1e-9)
    interval = reference.confidence_interval(0.95)
    assert (test.low, test.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert test.effect_size == pytest.approx(reference.statistic / math.sqrt(test.n))


def test_seeds_that_agree_exactly_leave_the_rounding_of_the_images():
    differences = [0.01, 0.01, 0.01]
    exact = paired_t(differences)
    assert exact is not None and exact.p is None and exact.seeds_needed() is None
    rounded = paired_t(differences, resolution=1 / 500)
    assert rounded is not None and rounded.spread == pytest.approx(1 / 500 / math.sqrt(6))
    assert rounded.p == pytest.approx(2 * stats.t.sf(0.01 / (rounded.spread / math.sqrt(3)), 2))
    # One image of 500 more under each of three seeds is not enough
    one = paired_t([0.002] * 3, resolution=1 / 500)
    assert one is not None and one.p is not None and one.p > 0.05
    equal = paired_t([0.0, 0.0])
    assert equal is not None and equal.p == 1.0


def test_one_seed_allows_no_test():
    test = paired_t([0.3])
    assert test is not None and (test.mean, test.low, test.p, test.seeds_needed()) == (0.3, None, None, None)
    assert paired_t([]) is None


@pytest.mark.parametrize(("effect", "expected"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_seeds_needed_are_those_of_published_tables(effect: float, expected: int):
    """Sample sizes of the paired t test, two-sided at 5 % with power 0.8, as G*Power 3.1 gives them."""
    assert seeds_needed(effect, 1.0) == expected

    def power(n: int) -> float:
        return float(stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, effect * math.sqrt(n)))

    assert power(expected) >= 0.8 > power(expected - 1)


def test_seeds_needed_ends_somewhere():
    assert seeds_needed(1e-6, 1.0) is None and seeds_needed(0.0, 1.0) is None
    assert seeds_needed(100.0, 1.0) == 2
    limit = seeds_needed(0.0889, 1.0)
    assert limit is not None and 900 < limit <= MOST_SEEDS


def test_holm_worked_by_hand():
    # 0.01 × 4, 0.02 × 3 = 0.06, 0.03 × 2 = 0.06, 0.5 × 1; never smaller than the one before
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0]) and holm([]) == []


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 9), (7, 7), (30, 12), (0, 6), (250, 180)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_images(first: int, second: int):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_right_and_wrong_are_compared_by_mcnemar():
    first, second = np.array([1, 1, 1, 0, 0, 1, 1, 1]), np.array([1, 0, 0, 1, 0, 0, 0, 0])
    test = compare_images(first, second)
    assert (test.name, test.only_first, test.only_second, test.n) == ("mcnemar", 5, 1, 8)
    assert test.difference == pytest.approx(0.5) and test.p == pytest.approx(stats.binomtest(1, 6).pvalue)
    assert test.low < 0.5 < test.high
    assert compare_images(first.astype(bool), second.astype(bool)) == test


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3])
def test_other_values_are_compared_by_a_paired_bootstrap(shift: float):
    rng = np.random.default_rng(1)
    first = rng.gamma(2.0, size=300)
    second = first + rng.normal(shift, 0.5, 300)
    test = compare_images(first, second)
    assert test.name == "bootstrap" and test.only_first is None
    reference = stats.bootstrap(
        (first - second,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(2)
    ).confidence_interval
    spread = 0.5 / math.sqrt(300)
    assert test.low == pytest.approx(reference.low, abs=0.15 * spread)
    assert test.high == pytest.approx(reference.high, abs=0.15 * spread)
    # Close to the t test's, as the mean of 300 values is nearly normal
    assert test.p == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.03)
    assert test.p > 0


def test_worst_groups_are_compared_by_a_bootstrap_stratified_by_group():
    """Beside a bootstrap that draws the images of each group by their indices."""
    rng = np.random.default_rng(3)
    groups = np.repeat([0, 4, 7], [150, 60, 90])
    shares = np.array([[0.8, 0.6, 0.62], [0.75, 0.5, 0.55]])[:, np.repeat([0, 1, 2], [150, 60, 90])]
    first, second = (rng.random((2, 300)) < shares[side] for side in (0, 1))

    def difference(drawn: np.ndarray) -> float:
        worst = [
            np.min([values[:, drawn][:, groups[drawn] == group].mean(axis=1) for group in (0, 4, 7)], axis=0)
            for values in (first, second)
        ]
        return float((worst[0] - worst[1]).mean())

    draws = [
        difference(np.concatenate([rng.choice(np.flatnonzero(groups == group), n) for group, n in sizes]))
        for sizes in [((0, 150), (4, 60), (7, 90))] * 2000
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    test = compare_worst_groups(first, second, groups)
    assert test.difference == pytest.approx(difference(np.arange(300))) and test.n == 300
    assert test.name == "bootstrap" and test.low == pytest.approx(low, abs=0.015)
    assert test.high == pytest.approx(high, abs=0.015)


def test_of_one_group_the_worst_group_is_the_mean():
    rng = np.random.default_rng(4)
    first, second = rng.normal(0.2, 1, (2, 400))
    means, worst = compare_images(first, second), compare_worst_groups(first[None], second[None], np.zeros(400))
    assert worst.difference == pytest.approx(means.difference)
    spread = means.high - means.low
    assert (worst.low, worst.high) == pytest.approx((means.low, means.high), abs=0.05 * spread)


def test_groups_of_other_images_are_refused():
    with pytest.raises(ValueError, match="groups"):
        compare_worst_groups(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(4))


def test_arrays_of_other_images_are_refused():
    for first, second in (([1, 0], [1]), ([], []), ([[1, 0]], [[1, 0]])):
        with pytest.raises(ValueError, match="same images"):
            compare_images(first, second)
