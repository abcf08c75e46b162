"""The sentence on the methods at their selected λ says no more than the tests allow."""

import pytest
from scipy import stats

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.analysis.best_method import best_method_text
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.selection_rule import SelectionRule, select_lambda
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


def sentence(found: list[Run], result: str = "pgd_linf.accuracy") -> str:
    comparison = compare(found, NO_CATALOG)
    column = next(item for item in comparison.columns if item.result == result)
    return best_method_text(select_lambda(comparison, SelectionRule(column)), comparison, column)


def test_the_best_is_named_with_those_that_it_is_apart_from():
    words = sentence(runs({"a": BEST, "b": [value - 0.003 for value in NEAR], "c": FAR}))
    assert words.startswith("Selected as the best: a, λ 1. It is better than c, λ 1 (+0.30")
    assert "Undecided against b, λ 1 (+0.013 ± 0.041; about " in words and "seeds would decide)." in words
    assert words.endswith("Differences on test images, 2 tests corrected together (Holm).")


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
