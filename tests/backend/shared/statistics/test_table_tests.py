"""Tests between the groups of a table."""

import pytest
from scipy import stats

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.groups import Column, columns, difference, group_runs, higher_is_better
from densitylab.backend.shared.statistics.table_tests import against_baseline, best_groups, undecided_pairs
from tests.backend.shared.statistics.runs_of_seeds import make_run

NOISE = (0.000, 0.004, -0.003, 0.002, -0.001)


def table(means: dict[float, float], *, seeds: int = 5, result: str = "pgd_linf.accuracy") -> list[Run]:
    """Return groups by λ whose seeds lie around these means, each with its own spread."""
    return [
        make_run("a", lambda_, seed, results={result: mean + (1 + index) * NOISE[(seed + index) % 5]})
        for index, (lambda_, mean) in enumerate(means.items())
        for seed in range(seeds)
    ]


def best(runs: list[Run]) -> list[float]:
    groups, items = group_runs(runs), columns(runs)
    found = best_groups(groups, {item: higher_is_better(runs, item) for item in items})
    return [groups[found[item]].settings["lambda_"] if item in found else -1 for item in items]


def column(runs: list[Run]) -> Column:
    return columns(runs)[0]


def test_a_mean_apart_from_all_others_is_the_best():
    assert best(table({0: 0.1, 1: 0.2, 10: 0.3})) == [10]
    assert best(table({0: 0.1, 1: 0.2, 10: 0.3}, result="leakage.share")) == [0]


def test_a_mean_that_is_not_apart_from_the_next_is_not():
    assert best(table({0: 0.1, 1: 0.300, 10: 0.301})) == [-1]


def test_one_seed_is_never_the_best_and_leaves_the_others_undecided():
    assert best(table({0: 0.1, 1: 0.9}, seeds=1)) == [-1]
    runs = table({0: 0.1, 1: 0.2})
    assert best(runs) == [1]
    assert best([*runs, make_run("a", 10, 0, results={"pgd_linf.accuracy": 0.9})]) == [-1]
    assert best([*runs, make_run("a", 10, 0, results={"pgd_linf.accuracy": 0.0})]) == [-1]
    assert best([*runs, make_run("a", 10, 0)]) == [1]  # not evaluated yet


def test_groups_without_common_seeds_are_not_compared():
    runs = [make_run("a", 0, seed, results={"pgd_linf.accuracy": 0.1}) for seed in (0, 1)]
    runs += [make_run("a", 1, seed, results={"pgd_linf.accuracy": 0.9}) for seed in (2, 3)]
    assert best(runs) == [-1]


def test_all_tests_of_the_table_are_corrected_together():
    runs = table({0: 0.20, 1: 0.21})
    alone = difference(*group_runs(runs), column(runs))
    assert 0.01 < alone.p < 0.05 and best(runs) == [1]
    # The same two groups beside nine results that tell nothing apart
    for run in runs:
        for number in range(9):
            run.results[f"pgd_linf.other_{number}"] = run.results["pgd_linf.accuracy"].model_copy(
                update={"value": 0.5 + NOISE[(run.spec.seed * (number + 1)) % 5]}
            )
    assert best(runs)[0] == -1


def test_equal_means_and_unknown_directions_have_no_best():
    assert best(table({0: 0.5})) == [-1]
    equal = [make_run("a", lambda_, seed, results={"pgd_linf.accuracy": 0.5}) for lambda_ in (0, 1) for seed in (0, 1)]
    assert best(equal) == [-1]
    runs = table({0: 0.1, 1: 0.3})
    assert best_groups(group_runs(runs), {column(runs): None}) == {}


def test_differences_from_baselines_are_scipys_with_holms_correction():
    runs = table({0: 0.200, 1: 0.207, 10: 0.3})
    groups, item = group_runs(runs), column(runs)
    tested = against_baseline(groups, [None, groups[0], groups[0]], [item])
    raw = [
        stats.ttest_rel(list(group.by_seed[item].values()), list(groups[0].by_seed[item].values())).pvalue
        for group in groups[1:]
    ]
    assert [tested[index, item].test.p for index in (1, 2)] == pytest.approx(raw)
    larger, smaller = max(raw), min(raw)
    assert sorted(tested[index, item].p_adjusted for index in (1, 2)) == pytest.approx([2 * smaller, larger])
    close = tested[1, item]
    assert close.p_adjusted > 0.05 and close.seeds_needed == close.test.seeds_needed(alpha=0.05)  # the only one left
    single = against_baseline(groups[:2], [None, None], [item])
    assert single == {}


def test_seeds_are_those_of_the_level_that_the_next_difference_must_reach():
    runs = table({0: 0.200, 1: 0.207, 5: 0.206, 10: 0.3})
    groups, item = group_runs(runs), column(runs)
    tested = against_baseline(groups, [None, *[groups[0]] * 3], [item])
    assert [tested[index, item].established for index in (1, 2, 3)] == [False, False, True]
    for index in (1, 2):  # Holm's level for the smaller of the two p values, whichever grows
        own = tested[index, item]
        assert own.seeds_needed == own.test.seeds_needed(alpha=0.025) > own.test.seeds_needed()


def test_a_group_that_another_test_does_not_tell_apart_is_not_the_best():
    runs = table({0: 0.20, 1: 0.21})
    groups, item = group_runs(runs), column(runs)
    assert best_groups(groups, {item: True}) == {item: 1}
    others = [item, *(Column(f"pgd_linf.other_{number}", "pgd_linf", "{}") for number in range(9))]
    for run in runs:
        for other in others[1:]:
            run.results[other.result] = run.results[item.result].model_copy(
                update={"value": 0.5 + NOISE[(run.spec.seed * (1 + others.index(other))) % 5] * run.spec.lambda_}
            )
    groups, items = group_runs(runs), columns(runs)
    tests = against_baseline(groups, [None, groups[0]], items)
    assert not tests[1, items[0]].established  # as one of ten
    pairs = undecided_pairs(groups, [None, groups[0]], tests)
    assert best_groups(groups, {items[0]: True}) == {items[0]: 1}
    assert best_groups(groups, {items[0]: True}, pairs) == {}
