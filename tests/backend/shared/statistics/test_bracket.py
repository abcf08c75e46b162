"""The search for λ by half decades, on curves of accuracy and robustness that are known."""

from collections.abc import Callable

import pytest

from densitylab.backend.shared.statistics.bracket import Next, Tried, best_within, extend, lambda_of, refine

RULE = {"baseline": 0.9, "max_loss": 0.02, "higher": True}


def search(accuracy: Callable[[float], float | None], value: Callable[[float], float], start: int = -2, **rule):
    """Return all λ that a search tries, and its last word."""
    tried = [start - 1, start, start + 1]
    rule = {"max_candidates": 12, **RULE, **rule}
    while True:
        known = [Tried(at, accuracy(at), None if accuracy(at) is None else value(at)) for at in tried]
        step = extend(known, **rule)
        if step.done:
            return sorted(tried), step, known
        assert not set(step.half_decades) & set(tried)
        tried += step.half_decades


@pytest.mark.parametrize("start", [-8, -2, 5])
def test_it_crosses_the_budget_and_has_the_best_inside(start: int):
    tried, last, known = search(lambda at: 0.9 - 0.01 * max(at - 1, 0), lambda at: at, start, max_candidates=20)
    best = best_within(known, **RULE)
    assert best is not None and best.half_decades == 3  # 0.02 are lost there, 0.03 half a decade on
    assert {2, 3, 4} <= set(tried) and tried == list(range(tried[0], tried[-1] + 1))
    assert last.reason == "λ = 31.6 is the best within the accuracy budget, which larger λ cross."


def test_a_best_in_the_middle_ends_the_way_down_but_not_that_up():
    tried, _, known = search(lambda at: 0.9 - 0.005 * max(at, 0), lambda at: -abs(at))
    assert best_within(known, **RULE).half_decades == 0 and tried == [-3, -2, -1, 0, 1, 2, 3, 4, 5]


def test_where_no_lambda_is_within_the_budget_it_goes_down():
    tried, last, _ = search(lambda at: 0.9 if at <= -6 else 0.5, lambda at: at)
    assert tried[0] == -7 and last.done


def test_failed_runs_cost_more_than_the_budget():
    tried, _, known = search(lambda at: None if at > 1 else 0.9, lambda at: at)
    assert tried[-1] == 2 and best_within(known, **RULE).half_decades == 1


def test_lower_values_are_better_on_request():
    tried, _, known = search(lambda at: 0.9 - 0.01 * max(at, 0), lambda at: -at, higher=False)
    assert best_within(known, **{**RULE, "higher": False}).half_decades == 2 and tried[-1] == 3


def test_it_ends_at_its_bounds_and_says_so():
    tried, last, _ = search(lambda at: 0.9, lambda at: at, max_candidates=5)
    assert len(tried) == 5
    assert last.reason == (
        "λ = 3.16, the largest tried, is still within the accuracy budget, but 5 λ are the most for one method."
    )
    tried, last, _ = search(lambda at: 0.9, lambda at: at, highest=0)
    assert tried[-1] == 0 and "λ = 1, the largest allowed, is still within" in last.reason


def test_more_lambdas_lie_beside_the_best():
    known = [Tried(at, 0.9 if at < 2 else 0.5, float(at)) for at in range(4)]
    step = refine(known, **RULE)
    assert step.half_decades == [1.5] and lambda_of(1.5) == 5.62
    known.append(Tried(1.5, 0.89, 1.5))
    assert refine(known, **RULE).half_decades == [1.75]
    assert refine([Tried(0, 0.1, 1.0)], **RULE) == Next([], "No λ is within the accuracy budget.")
