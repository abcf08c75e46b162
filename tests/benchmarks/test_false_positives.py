"""★ and claims under the null and at an effect: a small version of the published simulation."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.false_positives import (
    ACCURATE,
    BUDGET,
    EFFECT,
    IMAGES,
    ROBUST,
    answered_with_yes,
    claim_rates,
    crowned,
    draw,
    table,
)

REPEATS = 100


def test_the_drawn_runs_have_the_stated_share_and_common_images():
    rng = np.random.default_rng(0)
    right = np.stack([draw(rng, [ROBUST, ACCURATE], 3, own_images=0.5) for _ in range(60)])
    assert right.shape == (60, 2, 3, IMAGES)
    assert right.mean(axis=(0, 2, 3)) == pytest.approx([ROBUST, ACCURATE], abs=0.01)
    first, second = right[:, 0, 0].ravel(), right[:, 0, 1].ravel()
    assert np.corrcoef(first, second)[0, 1] > 0.2  # an image that is hard under one seed is hard under another


def within_five_percent(count: int) -> bool:
    """Return whether a true rate of 5 % gives so many or more with a probability above 0.1 %."""
    return float(binom.sf(count - 1, REPEATS, 0.05)) > 0.001


@pytest.mark.parametrize(("groups", "results", "seeds"), [(2, 1, 3), (4, 2, 5)])
def test_a_table_without_an_effect_rarely_has_a_star(groups: int, results: int, seeds: int):
    rng = np.random.default_rng([groups, seeds])
    starred = sum(bool(crowned(table(rng, [ROBUST] * groups, seeds, results))) for _ in range(REPEATS))
    assert within_five_percent(starred)


def test_a_group_that_is_better_gets_the_star():
    rng = np.random.default_rng(0)
    shares = [ROBUST] * 3 + [ROBUST + EFFECT]
    found = [list(crowned(table(rng, shares, 5, 1)).values()) for _ in range(20)]
    assert found.count([3]) >= 15


@pytest.mark.parametrize(
    ("robust", "accurate"),
    [((ROBUST, ROBUST), (ACCURATE, ACCURATE)), ((ROBUST + EFFECT, ROBUST), (ACCURATE - BUDGET, ACCURATE))],
)
def test_a_claim_that_is_not_true_is_rarely_answered_with_yes(
    robust: tuple[float, float], accurate: tuple[float, float]
):
    rng = np.random.default_rng(0)
    yes = sum(answered_with_yes(draw(rng, list(robust), 5), draw(rng, list(accurate), 5)) for _ in range(REPEATS))
    assert within_five_percent(yes)


def test_a_claim_that_is_true_is_found():
    rng = np.random.default_rng(0)
    robust, accurate = [ROBUST + EFFECT, ROBUST], [ACCURATE + BUDGET, ACCURATE]
    assert sum(answered_with_yes(draw(rng, robust, 5), draw(rng, accurate, 5)) for _ in range(10)) >= 8


def test_the_rates_are_printed_with_their_interval():
    rate = claim_rates(2)[0]
    assert rate.row[0] == "yes without an effect, 3 seeds" and rate.repeats == 2 and " to " in rate.row[2]
