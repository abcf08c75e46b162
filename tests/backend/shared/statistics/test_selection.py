"""The selected λ of each method against cases worked by hand."""

import pytest
from scipy import stats

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.groups import Column, Group, columns, group_runs
from densitylab.backend.shared.statistics.selection import Constraint, Selection, methods, select, validation_accuracy
from densitylab.backend.shared.statistics.selection_text import (
    edge_text,
    few_seeds_text,
    near_miss_text,
    seeds_text,
    selection_text,
    unselected_text,
)
from tests.backend.shared.statistics.runs_of_seeds import make_run

# regularizer, λ, validation accuracy, test accuracy, PGD on validation images, PGD on test images
ROWS = [
    ("none", 0, 0.90, 0.80, 0.10, 0.10),
    ("a", 0.1, 0.91, 0.81, 0.30, 0.33),
    ("a", 1, 0.89, 0.85, 0.50, 0.40),
    ("a", 10, 0.885, 0.88, 0.40, 0.60),
    ("a", 100, 0.80, 0.89, 0.70, 0.70),
    ("b", 1, 0.86, 0.87, 0.60, 0.50),
]


def launched(*, validation: bool = True, pgd_on_validation: bool = True, seeds: int = 2) -> list[Run]:
    return [
        make_run(
            name,
            lambda_,
            seed,
            validation=accuracy if validation else None,
            results={"accuracy.accuracy": test, "pgd_linf.accuracy": pgd, "leakage.share": pgd}
            | ({"pgd_validation.accuracy": own} if pgd_on_validation else {}),
        )
        for name, lambda_, accuracy, test, own, pgd in ROWS
        for seed in range(seeds)
    ]


def column(runs: list[Run], result: str = "pgd_linf.accuracy") -> Column:
    return next(item for item in columns(runs) if item.result == result)


def choice(runs: list[Run], max_loss: float, result: str = "pgd_linf.accuracy", higher: bool = True) -> list[Selection]:
    return select(group_runs(runs), column(runs, result), higher=higher, max_loss=max_loss)


def lambda_of(row: Selection) -> float | None:
    return row.group.settings["lambda_"] if row.group else None


def test_validation_images_decide_about_accuracy_and_result():
    a, b = choice(launched(), 0.02)
    # λ 10 is within the budget and better on the test images; λ 100 costs 10 points
    assert (lambda_of(a), a.within, a.candidates, a.edge) == (1, 3, 4, None)
    assert (a.accuracy_split, a.result_split) == ("validation", "validation")
    assert a.loss == pytest.approx(0.01) and a.baseline_accuracy.mean == pytest.approx(0.90)
    assert a.selected_by.mean == 0.50 and a.result.mean == 0.40 and a.test_accuracy.mean == 0.85
    assert b.group is None and (b.within, b.candidates, b.edge) == (0, 1, None)
    assert unselected_text(b) == "the accuracy is at least 4 points below the baseline's (validation images)"
    assert unselected_text(a) == ""
    assert "both on validation images" in selection_text([a, b]) and "optimistic" not in selection_text([a, b])


def test_a_training_that_occurs_twice_has_one_validation_accuracy():
    runs = [
        make_run(key, 0, seed, validation=value) for key, seed, value in (("a", 0, 0.8), ("a", 1, 0.6), ("b", 0, 0.9))
    ]
    (baseline,) = group_runs(runs)
    accuracy = validation_accuracy(baseline)
    assert accuracy is not None and (accuracy.n, accuracy.mean) == (2, pytest.approx(0.75))  # of 0.9 and 0.6


def test_a_loss_of_exactly_the_budget_is_within_it():
    a, b = choice(launched(), 0.10)
    assert (lambda_of(a), a.edge) == (100, "highest") and (lambda_of(b), b.edge) == (1, "only")
    assert choice(launched(), 0.04)[1].within == 1
    assert edge_text(a.edge) == "the highest λ tried: a larger one, where the method allows it, may be better"
    assert edge_text(b.edge) == "the only λ with results" and edge_text(None) == ""
    assert "end of its grid" in selection_text([a, b])


def without(runs: list[Run], lambda_: float, *seeds: int) -> list[Run]:
    """Leave out these seeds of a λ of the regularizer a."""
    return [
        run
        for run in runs
        if (run.spec.regularizer.key, run.spec.lambda_) != ("a", lambda_) or run.spec.seed not in seeds
    ]


def test_a_lambda_with_fewer_seeds_than_another_one_says_so():
    runs = without(without(without(launched(seeds=4), 1, 0), 0.1, 1), 10, 1)  # two seeds in common, three or more each
    a, b = choice(without(runs, 100, 0), 0.20)
    assert lambda_of(a) == 100 and a.few_seeds == () and few_seeds_text(a) == "" and a.common_seeds is None
    assert seeds_text(a, column(runs)) == ""  # no λ has more than its three seeds
    a, _ = choice(without(without(launched(seeds=5), 100, 0, 1), 1, 2, 3), 0.20)
    assert lambda_of(a) == 100 and a.common_seeds is None
    assert seeds_text(a, column(runs)) == "3 of the 5 seeds of another λ: chance favours the best of few seeds"
    assert seeds_text(b, column(runs)) == "" == seeds_text(choice(launched(), 0.02)[0], column(runs))


def test_lambdas_are_compared_on_the_seeds_that_all_have():
    """λ 1 is the best of three seeds, and worse than λ 10 with seven more."""
    runs = launched(seeds=3) + [
        make_run(
            key,
            lambda_,
            seed,
            validation=0.89,
            results={"accuracy.accuracy": 0.8, "pgd_linf.accuracy": 0.1, "pgd_validation.accuracy": 0.1},
        )
        for key, lambda_ in (("none", 0), ("a", 1))
        for seed in range(3, 10)
    ]
    a, b = choice(runs, 0.02)
    assert (lambda_of(a), a.common_seeds, a.selected_by.n) == (1, 3, 10)
    assert a.selected_by.mean == pytest.approx(0.22) and a.result.n == 10 and seeds_text(a, column(runs)) == ""
    assert "compared on the seeds that all of them have" in selection_text([a, b])
    before = choice(launched(seeds=3), 0.02)
    assert lambda_of(before[0]) == 1 and "that all of them have" not in selection_text(before)


def test_the_budget_counts_all_seeds():
    runs = launched(seeds=3) + [make_run("a", 1, seed, validation=0.8) for seed in range(3, 6)]
    a, _ = choice(runs, 0.02)
    assert lambda_of(a) == 10  # λ 1 costs 5.5 points in the mean of six seeds


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_a_lambda_with_too_few_seeds_is_no_candidate(seeds: int):
    runs = without(launched(seeds=seeds), 1, *range(1, seeds))
    a, b = choice(runs, 0.02)
    assert (lambda_of(a), a.within, a.candidates, a.edge) == (10, 2, 3, None)
    assert [group.settings["lambda_"] for group in a.few_seeds] == [1] and b.few_seeds == ()
    assert few_seeds_text(a) == "λ 1 left out: fewer than 3 seeds, and fewer than another λ"
    assert "fewer than 3 seeds is no candidate" in selection_text([a, b])
    (nothing, _) = choice(without(launched(seeds=seeds), 0.1, *range(1, seeds)), -0.02)
    assert nothing.group is None and nothing.least_loss == pytest.approx(0.01)  # that of λ 1, not of λ 0.1


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_are_enough_where_no_lambda_has_more(seeds: int):
    a, _ = choice(launched(seeds=seeds), 0.02)
    assert (lambda_of(a), a.candidates, a.few_seeds) == (1, 4, ())


def test_the_lowest_lambda_is_an_edge_too():
    a, _ = choice(launched(), 0.0)
    assert (lambda_of(a), a.edge, a.within) == (0.1, "lowest", 1)


def test_lower_may_be_better():
    runs = launched(pgd_on_validation=False)
    a, _ = choice(runs, 0.02, "leakage.share", higher=False)
    assert lambda_of(a) == 0.1 and a.result.mean == 0.33


def test_without_results_on_validation_images_it_says_so():
    a, b = choice(launched(pgd_on_validation=False), 0.02)
    assert (a.accuracy_split, a.result_split) == ("validation", "test")
    assert lambda_of(a) == 10 and a.selected_by == a.result
    assert "slightly optimistic" in selection_text([a, b])
    assert "not every run has a validation accuracy" not in selection_text([a, b])


def test_without_a_validation_accuracy_the_test_accuracies_decide():
    a, b = choice(launched(validation=False), 0.02)
    assert a.accuracy_split == b.accuracy_split == "test" and a.result_split == "validation"
    assert lambda_of(a) == 100 and a.loss == pytest.approx(-0.09)
    assert "not every run has a validation accuracy" in selection_text([a, b])


def test_one_run_without_validation_puts_all_methods_on_the_same_images():
    runs = launched()
    runs[-1].results.pop("pgd_validation.accuracy")
    runs[-2].results.pop("pgd_validation.accuracy")
    assert {row.result_split for row in choice(runs, 0.02)} == {"test"}


def test_variants_of_a_method_are_methods_of_their_own():
    runs = [make_run("none", 0, 0, validation=0.9, results={"accuracy.accuracy": 0.9, "pgd_linf.accuracy": 0.1})]
    for estimator, pgd in (("double_backward", 0.5), ("finite_difference", 0.4)):
        for lambda_ in (1, 10):
            figures = {"accuracy.accuracy": 0.9, "pgd_linf.accuracy": pgd + lambda_ / 100}
            runs.append(make_run("a", lambda_, 0, params={"estimator": estimator}, validation=0.9, results=figures))
    rows = choice(runs, 0.02)
    assert [row.method.groups[0].settings["regularizer.params.estimator"] for row in rows] == [
        "double_backward",
        "finite_difference",
    ]
    assert [lambda_of(row) for row in rows] == [10, 10]


def test_a_chosen_baseline_replaces_the_own_ones():
    groups = group_runs(launched())
    chosen = next(group for group in groups if group.settings["lambda_"] == 100)
    rows = select(groups, column(launched()), higher=True, max_loss=0.02, baseline=chosen)
    assert all(row.baseline is chosen for row in rows) and lambda_of(rows[0]) == 1
    assert chosen not in _candidates(rows)


def _candidates(rows: list[Selection]) -> list[Group | None]:
    return [row.group for row in rows]


def test_methods_without_a_baseline_have_no_row():
    runs = [run for run in launched() if run.spec.regularizer.key != "none"]
    assert choice(runs, 0.02) == []
    assert [len(method.groups) for method in methods(group_runs(runs))] == [4, 1]


def test_groups_without_a_result_are_no_candidates():
    runs = [*launched(), make_run("a", 1000, 0, validation=0.9)]
    a, _ = choice(runs, 0.10)
    assert a.candidates == 4 and a.edge == "highest"


def grouped(lambda_, worst, on_validation):
    run = make_run("a", lambda_, 0, validation=0.9, results={"accuracy.accuracy": 0.9, "groups.worst": worst})
    run.evaluations.append(run.evaluations[0].model_copy(update={"key": "groups", "name": "groups", "params": {}}))
    run.metrics["validation_worst_group"] = on_validation
    return run


def test_the_curve_of_the_worst_group_selects_where_it_was_not_evaluated_on_validation_images():
    runs = [make_run("none", 0, 0, validation=0.9, results={"accuracy.accuracy": 0.9, "groups.worst": 0.2})]
    runs += [grouped(1, 0.7, 0.3), grouped(10, 0.5, 0.6)]  # the test images would select λ = 1
    (row,) = choice(runs, 0.02, "groups.worst")
    assert (lambda_of(row), row.result_split) == (10, "validation")
    assert row.selected_by.mean == 0.6 and row.result.mean == 0.5
    del runs[1].metrics["validation_worst_group"]
    (row,) = choice(runs, 0.02, "groups.worst")
    assert (lambda_of(row), row.result_split) == (1, "test")


def worst_group(lambda_: float, pgd: float, worst: float, on_validation: float) -> Run:
    run = grouped(lambda_, worst, on_validation)
    run.results["pgd_linf.accuracy"] = run.results["groups.worst"].model_copy(update={"value": pgd})
    return run


def test_a_second_result_limits_the_candidates_on_validation_images():
    # PGD alone would select λ = 10, the worst group of the test images would leave nothing but λ = 10
    runs = [worst_group(0, 0.1, 0.5, 0.60), worst_group(0.1, 0.2, 0.4, 0.60), worst_group(1, 0.3, 0.4, 0.56)]
    runs.append(worst_group(10, 0.5, 0.6, 0.40))
    item, worst = column(runs), column(runs, "groups.worst")

    def chosen(max_loss: float) -> Selection:
        constraint = Constraint(worst, higher=True, max_loss=max_loss)
        (row,) = select(group_runs(runs), item, higher=True, max_loss=0.02, constraint=constraint)
        return row

    row = chosen(0.05)
    assert (lambda_of(row), row.within, row.candidates) == (1, 2, 3)
    assert row.constrained.split == "validation"
    assert (row.constrained.baseline.mean, row.constrained.value.mean) == (0.60, 0.56)
    assert lambda_of(chosen(0.0)) == 0.1 and lambda_of(chosen(0.2)) == 10  # a loss of exactly the limit is within it
    assert "the accuracy budget and the limit of the second result" in selection_text([row])
    (free,) = select(group_runs(runs), item, higher=True, max_loss=0.02)
    assert lambda_of(free) == 10 and free.constrained is None and "second" not in selection_text([free])


def test_a_second_result_may_be_better_where_it_is_low_and_says_that_it_was_compared_on_test_images():
    runs = launched()
    constraint = Constraint(column(runs, "leakage.share"), higher=False, max_loss=0.25)
    a, b = select(group_runs(runs), column(runs), higher=True, max_loss=0.02, constraint=constraint)
    assert (lambda_of(a), a.within) == (0.1, 1)  # 0.33 against 0.10; λ = 1 has 0.40
    assert b.group is None and b.constrained.value is None
    assert a.constrained.split == "test" and "The second result was compared on the test images" in selection_text([a])


def test_a_method_without_the_second_result_has_no_row():
    runs = launched()
    constraint = Constraint(Column("groups.worst", "groups", "{}"), higher=True, max_loss=0.0)
    assert select(group_runs(runs), column(runs), higher=True, max_loss=0.02, constraint=constraint) == []


def near(losses: list[float], seconds: list[float] | None = None, limit: float = 0.0) -> Selection:
    """Return the selection of a method with λ 1, which costs nothing, and λ 10 with a better result, these losses of
    validation accuracy and these losses of a second result, by seed."""
    runs = []
    for seed, loss in enumerate(losses):
        second = 0.0 if seconds is None else seconds[seed]
        for key, lambda_, accuracy, pgd, share in (
            ("none", 0, 0.9, 0.1, 0.5),
            ("a", 1, 0.9, 0.4, 0.5),
            ("a", 10, 0.9 - loss, 0.6, 0.5 - second),
        ):
            results = {"accuracy.accuracy": 0.8, "pgd_linf.accuracy": pgd, "leakage.share": share}
            runs.append(make_run(key, lambda_, seed, validation=accuracy, results=results))
    constraint = Constraint(column(runs, "leakage.share"), True, limit) if seconds is not None else None
    (row,) = select(group_runs(runs), column(runs), higher=True, max_loss=0.02, constraint=constraint)
    return row


def test_a_better_lambda_that_may_be_within_the_budget_is_named():
    row = near([0.01, 0.03, 0.035])
    test = stats.ttest_1samp([0.01, 0.03, 0.035], 0)
    low, high = test.confidence_interval()
    assert lambda_of(row) == 1 and row.near_miss is not None and low < 0.02 < high
    assert near_miss_text(row) == (
        f"λ 10 has a better result and may be within the limit of 2 points: 2.5 ({100 * low:.2g} to {100 * high:.2g}) "
        "points of accuracy lost"
    )
    assert near([0.03]).near_miss is None  # one seed does not say what chance explains


def test_a_lambda_that_is_clearly_beyond_the_budget_or_within_it_is_not_named():
    assert near([0.05, 0.051, 0.052]).near_miss is None
    within = near([0.01, 0.012, 0.011])
    assert lambda_of(within) == 10 and within.near_miss is None and near_miss_text(within) == ""


def test_the_second_result_has_a_limit_too():
    row = near([0.0, 0.0, 0.01], [0.0, 0.06, 0.03], limit=0.01)
    assert lambda_of(row) == 1 and row.near_miss is not None and row.near_miss.limited == "second result"
    assert near_miss_text(row).startswith("λ 10 has a better result and may be within the limit of 1 point: 3 (")
    assert near([0.05, 0.051, 0.052], [0.0, 0.06, 0.03], limit=0.01).near_miss is None  # the accuracy is clear


def test_a_lambda_within_the_budget_by_all_its_seeds_is_not_named_as_beyond_it():
    """λ 10 loses 3 points on the baseline's seeds and 1.75 on all of its own, on which its result is the best."""
    runs = []
    for seed, loss in enumerate([0.03, 0.035, 0.025, 0.005, 0.005, 0.005]):
        pgd = 0.4 if seed < 3 else 0.9
        runs.append(make_run("a", 10, seed, validation=0.9 - loss, results={"pgd_linf.accuracy": pgd}))
        if seed < 3:
            runs.append(make_run("none", 0, seed, validation=0.9, results={"pgd_linf.accuracy": 0.1}))
            runs.append(make_run("a", 1, seed, validation=0.9, results={"pgd_linf.accuracy": 0.5}))
    (row,) = choice(runs, 0.02)
    assert (lambda_of(row), row.within, row.near_miss) == (1, 2, None)
