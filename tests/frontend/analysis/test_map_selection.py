"""One model of each group for saliency maps: the first succeeded seed, and never without the baseline."""

import pytest

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.statistics.groups import group_runs
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.map_selection import one_of_each
from tests.frontend.analysis.test_comparison import NO_CATALOG, make_run

LAMBDAS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def test_the_first_succeeded_seed_is_taken():
    runs = [make_run("a", lambda_, seed) for lambda_ in (0, 1) for seed in (2, 0, 1)]
    failed = [run.model_copy(update={"status": Status.FAILED}) if run.spec.seed == 0 else run for run in runs]
    assert [run.spec.seed for run in one_of_each(group_runs(runs), 6).runs] == [0, 0]
    chosen = one_of_each(group_runs(failed), 6)
    assert [(run.spec.lambda_, run.spec.seed) for run in chosen.runs] == [(0, 1), (1, 1)] and chosen.text == ""


@pytest.mark.parametrize("most", [1, 2, 3, 6, 7])
def test_the_baseline_is_never_dropped_and_the_rest_is_counted(most):
    chosen = one_of_each(group_runs([make_run("a", lambda_, 0) for lambda_ in LAMBDAS]), most)
    lambdas = [run.spec.lambda_ for run in chosen.runs]
    assert lambdas[0] == 0 and len(lambdas) == len(set(lambdas)) == most
    assert most < 3 or lambdas[-1] == 0.7
    assert chosen.text == f"Groups not shown: {8 - most} beyond the {most} that fit."


@pytest.mark.parametrize("without", [{"status": Status.FAILED}, {"checkpoint_step": None}])
def test_a_group_without_a_model_is_said(without):
    runs = [make_run("a", lambda_, 0) for lambda_ in (0, 1)]
    runs[0] = runs[0].model_copy(update=without)
    chosen = one_of_each(group_runs(runs), 6)
    assert [run.spec.lambda_ for run in chosen.runs] == [1]
    assert chosen.text == "Groups not shown: 1 without a trained model."


def test_the_chosen_baseline_is_among_the_maps_and_the_button_counts_them():
    runs = [make_run("a", lambda_, 0) for lambda_ in LAMBDAS]
    comparison = compare(runs, NO_CATALOG, baseline=runs[2].id)
    for most in (1, 2, 6):
        chosen = one_of_each(comparison.groups, most, is_baseline=comparison.is_baseline)
        assert runs[2].id in [run.id for run in chosen.runs]
    assert chosen.groups_text == "6 of 8 groups"
    assert one_of_each(comparison.groups, 8).groups_text == "8 groups"
    assert one_of_each(comparison.groups[:1], 8).groups_text == "1 group"
