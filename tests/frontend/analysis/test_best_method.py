"""The sentence on the methods at their selected λ says no more than the tests allow."""

import pytest
from scipy import stats

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.groups import Column
from densitylab.backend.shared.statistics.selection import Selection
from densitylab.backend.shared.statistics.table_tests import against_baseline
from densitylab.frontend.analysis.best_method import best_method_text, seeds_to_add
from densitylab.frontend.analysis.comparison import Comparison, compare
from densitylab.frontend.analysis.selection_rule import SelectionRule, select_lambda
from densitylab.frontend.analysis.tables import selections
from tests.backend.shared.statistics.runs_of_seeds import make_run
from tests.frontend.analysis.test_comparison import NO_CATALOG

NOISE = (0.00, 0.02, -0.01, 0.01)
BEST = [0.70 + noise for noise in NOISE]
NEAR = [0.70 - noise for noise in NOISE]
FAR = [0.40 + noise / 2 for noise in NOISE]


def runs(methods: dict[str, list[float]], result: str = "pgd_linf.accuracy", validation: float = 0.0) -> list[Run]:
    """Of each method PGD accuracy by seed at λ 1; the last method is the best on validation images if `validation` is
    positive."""
    found = [make_run("none", 0, seed, results={"accuracy.accuracy": 0.9, result: 0.1}) for seed in range(4)]
    for name, values in methods.items():
        for seed, value in enumerate(values):
            results = {"accuracy.accuracy": 0.9, result: value}
            if validation:
                results["pgd_validation.accuracy"] = validation if name == list(methods)[-1] else validation / 2
            found.append(make_run(name, 1, seed, validation=0.9, results=results))
    return found


def selected(found: list[Run], result: str = "pgd_linf.accuracy") -> tuple[list[Selection], Comparison, Column]:
    comparison = compare(found, NO_CATALOG)
    column = next(item for item in comparison.columns if item.result == result)
    return select_lambda(comparison, SelectionRule(column)), comparison, column


def sentence(found: list[Run], result: str = "pgd_linf.accuracy") -> str:
    return best_method_text(*selected(found, result))


def added(found: list[Run]) -> list[int]:
    rows, _, column = selected(found)
    return seeds_to_add([row for row in rows if row.group is not None], column)


def test_the_best_is_named_with_those_that_it_is_apart_from():
    words = sentence(runs({"a": BEST, "b": [value - 0.003 for value in NEAR], "c": FAR}))
    assert words.startswith("Selected as the best: a, λ 1. It is better than c, λ 1 (+0.30")
    assert "Undecided against b, λ 1 (+0.013 ± 0.041; about " in words and "seeds would decide)." in words
    assert words.endswith("Differences on test images, 2 tests corrected together (Holm).")


def test_nothing_is_tested_while_runs_are_unfinished():
    found = selected(runs({"a": BEST, "c": FAR}))
    assert best_method_text(*found, preliminary=True) == (
        "So far selected as the best: a, λ 1. It is compared with the others once all runs are done."
    )


def test_the_correction_counts_the_methods():
    close = [value - step for value, step in zip(BEST, (0.01, 0.05, 0.02, 0.04), strict=True)]
    p = stats.ttest_rel(BEST, close).pvalue
    assert 0.05 / 3 < p < 0.05
    assert "better than b" in sentence(runs({"a": BEST, "b": close}))
    several = sentence(runs({"a": BEST, "b": close, "c": close, "d": close}))
    assert "better" not in several and "Undecided against b, λ 1" in several


def test_what_was_selected_on_validation_images_may_be_worse_on_test_images():
    words = sentence(runs({"a": BEST, "b": FAR}, validation=0.8))
    assert words.startswith("Selected as the best: b, λ 1. It is worse than a, λ 1 (-0.30")


def test_the_direction_of_the_result_decides():
    words = sentence(runs({"a": BEST, "b": FAR}, result="leakage.share"), "leakage.share")
    assert words.startswith("Selected as the best: b, λ 1. It is better than a, λ 1 (-0.30")


@pytest.mark.parametrize("methods", [{}, {"a": BEST}])
def test_fewer_than_two_methods_have_no_sentence(methods):
    assert sentence(runs(methods)) == ""


def test_the_only_method_within_the_limits_is_named():
    found = runs({"a": BEST, "b": FAR})
    for run in found:
        if run.spec.regularizer.key == "b":
            run.results["accuracy.accuracy"] = run.results["accuracy.accuracy"].model_copy(update={"value": 0.5})
    assert sentence(found) == "Of 2 methods only one has a λ within the limits: a, λ 1."


def test_the_row_names_a_better_lambda_that_may_be_within_the_budget():
    found = runs({"a": BEST})
    found += [
        make_run(
            "a", 10, seed, validation=0.9 - loss, results={"accuracy.accuracy": 0.9 - loss, "pgd_linf.accuracy": 0.9}
        )
        for seed, loss in enumerate([0.01, 0.03, 0.035, 0.02])
    ]
    rows, comparison, column = selected(found)
    note = selections(rows, comparison, column, NO_CATALOG, shown=[column])["note"][0]
    assert "λ 10 has a better result and may be within the limit of 2 points: 2.4 (0.6" in note


def test_as_many_seeds_are_added_as_would_decide_up_to_ten_in_all():
    close = [value - step for value, step in zip(BEST, (0.005, 0.055, 0.01, 0.05), strict=True)]
    rows, _, column = selected(runs({"a": BEST, "b": close}))
    best, other = (row.group for row in rows)
    tests = against_baseline([best, best, other], [other, *(row.baseline for row in rows)], [column])
    needed = tests[0, column].seeds_needed
    assert not tests[0, column].established and needed is not None and 6 < needed <= 10
    assert tests[1, column].established and tests[2, column].established
    assert added(runs({"a": BEST, "b": close})) == list(range(4, needed))
    assert added(runs({"a": BEST, "b": NEAR})) == [4, 5, 6, 7, 8, 9]  # many more would be needed


def test_two_seeds_are_added_where_the_number_is_not_known():
    assert added(runs({"a": BEST, "c": FAR})) == [4, 5]  # all is decided
    assert added(runs({"a": BEST[:1]})) == [1, 2]  # one seed has no spread


def test_one_method_is_compared_with_its_baseline():
    assert added(runs({"a": [0.1 + noise for noise in (0.0, 0.3, -0.2, 0.1)]})) == [4, 5, 6, 7, 8, 9]


def test_without_a_selected_lambda_no_seeds_are_added():
    _, _, column = selected(runs({"a": BEST}))
    assert seeds_to_add([], column) == []
