"""Intervals of proportions over seeds."""

import numpy as np
import pytest
from scipy.stats import binomtest

from densitylab.backend.shared.statistics.estimates import estimate, estimate_proportion, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 1), (0, 1500), (3, 500), (250, 500), (499, 500), (500, 500)])
def test_wilson_is_scipys(right: int, n: int):
    reference = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_nothing_right_in_1500_images_has_an_upper_end():
    none = estimate_proportion([0.0, 0.0, 0.0], [500] * 3)
    assert none is not None and none.low == 0.0 and none.high == pytest.approx(0.0026, abs=5e-5)


def test_no_interval_of_proportions_leaves_0_to_1():
    rng = np.random.default_rng(0)
    for _ in range(300):
        images, seeds = int(rng.integers(1, 600)), int(rng.integers(2, 6))
        values = list(rng.binomial(images, rng.beta(0.3, 0.3), seeds) / images)
        own, t = estimate_proportion(values, [images] * seeds), estimate(values)
        assert own is not None and own.low is not None and own.high is not None
        assert 0 <= own.low <= own.mean <= own.high <= 1
        # It covers what lies within [0, 1] of the interval over seeds
        assert own.low <= max(t.low, 0) + 1e-12 and own.high >= min(t.high, 1) - 1e-12


def test_a_wide_spread_over_seeds_is_students_interval():
    values = [0.5, 0.6, 0.55]
    assert estimate_proportion(values, [10_000] * 3) == estimate(values)
    single = estimate_proportion([0.4], [500])
    assert single is not None and single.low is None
