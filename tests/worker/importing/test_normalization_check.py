"""The choice of a normalisation: how often chance decides it or doubts a declared one, and what a difference does."""

import numpy as np
import pytest

from densitylab.worker.importing.normalization_check import Check, Normalization, Trial

CHECKS, IMAGES = 1000, 400


def checked(correct: np.ndarray) -> Check:
    """Return the check of a trial for each row, the most accurate first."""
    ways = [Normalization(f"way {index}", f"way {index}", (0.0,), (1.0,)) for index in range(len(correct))]
    trials = [Trial(way, row, 2.3) for way, row in zip(ways, correct, strict=True)]
    return Check(sorted(trials, key=lambda trial: trial.accuracy, reverse=True))


@pytest.mark.parametrize("ways", [2, 3, 6, 16])
def test_chance_decides_or_doubts_a_declared_way_in_at_most_a_twentieth_of_the_checks(ways):
    drawn = np.random.default_rng(0)
    decided = doubted = 0
    for _ in range(CHECKS):
        check = checked(drawn.random((ways, IMAGES)) < 0.1)
        decided += check.decided
        doubted += check.is_worse(next(trial for trial in check.trials if trial.normalization.name == "way 0"))
    assert decided / CHECKS <= 0.05 and doubted / CHECKS <= 0.05


def test_a_clear_difference_decides_and_a_small_one_names_its_rival():
    drawn = np.random.default_rng(0)
    right = drawn.random(IMAGES) < 0.9
    poor = drawn.random((2, IMAGES)) < 0.3
    clear = checked(np.stack([right, *poor]))
    assert clear.decided and "significantly more than under every other normalisation" in clear.summary
    close = right.copy()
    close[np.flatnonzero(right)[:5]] = False  # p = 1/32, one-sided: enough for one way alone, not for one of three
    rivals = checked(np.stack([right, close, *poor[:1]]))
    assert not rivals.decided and "may be chance to way 1" in rivals.summary
