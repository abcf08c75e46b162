"""Intervals end at the lowest and the highest possible value of a result, as the catalog states them."""

import math

import pytest

from densitylab.backend.services.comparisons import result_bounds
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.statistics.bounds import UNBOUNDED, bounds_of_curve
from densitylab.backend.shared.statistics.estimates import estimate
from densitylab.backend.shared.statistics.groups import columns, difference, group_runs, mean_over_seeds
from densitylab.backend.shared.statistics.paired_tests import paired_t
from tests.backend.shared.statistics.runs_of_seeds import make_run

BOUNDS = result_bounds(Catalog.built_in())


@pytest.mark.parametrize(
    ("evaluation", "names", "bounds"),
    [
        ("accuracy", ("accuracy", "calibration_error"), (0, 1)),
        ("accuracy", ("cross_entropy",), (0, math.inf)),
        ("leakage", ("share", "ratio", "mass", "chance", "share_random_map"), (0, 1)),
        ("leakage", ("l2",), (0, math.inf)),
        ("energy_pointing", ("energy", "hits_random_weights"), (0, 1)),
        ("groups", ("worst", "gap", "group_3"), (0, 1)),
        ("confusion", ("worst", "class_0", "confusion_1"), (0, 1)),
        ("ood", ("msp_auroc", "vim_fpr95", "odin_aupr_in"), (0, 1)),
        ("ood", ("in_images",), (0, math.inf)),
        ("stability", ("cosine", "spearman_random_map", "ssim_unchanged"), (-1, 1)),
        ("stability", ("top_k_random_weights", "changed"), (0, 1)),
        ("stability", ("relative_l2", "l2_random_map", "displacement"), (0, math.inf)),
        ("cascading_randomisation", ("cosine_chance",), (-1, 1)),
        ("pixel_perturbation", ("most_first_accuracy", "unchanged_pixels"), (0, 1)),
        ("pixel_perturbation", ("difference_probability",), (-1, 1)),
        ("pixel_perturbation", ("random_relative_probability",), (0, math.inf)),
        ("pixel_perturbation", ("difference_relative_probability",), UNBOUNDED),
        ("density_perturbation", ("up_attribution",), (-1, 1)),
        ("density_perturbation", ("down_changed",), (0, 1)),
        ("density_perturbation", ("up_log_density",), UNBOUNDED),
        ("corruptions", ("mce",), (0, math.inf)),
        ("an evaluation that nobody knows", ("accuracy",), UNBOUNDED),
    ],
)
def test_the_catalog_states_the_bounds_of_results(evaluation, names, bounds):
    assert {BOUNDS(evaluation, name) for name in names} == {bounds}


def test_every_evaluation_states_the_bounds_of_its_labelled_metrics():
    entries = Catalog.built_in().by_kind["evaluation"].values()
    unknown = [
        (entry.key, metric.name)
        for entry in entries
        for metric in entry.metrics
        if BOUNDS(entry.key, metric.name) == UNBOUNDED
    ]
    assert unknown == [("pixel_perturbation", "difference_relative_probability")]


def test_an_interval_over_seeds_ends_at_the_bounds_and_keeps_its_other_end():
    free, bounded = estimate([0.02, 0.05]), estimate([0.02, 0.05], (0.0, 1.0))
    assert free.low < 0 and (bounded.low, bounded.high, bounded.mean) == (0.0, free.high, free.mean)
    assert not bounded.symmetric
    assert estimate([-0.98, -0.9], (-1.0, 1.0)).low == -1.0


def test_bounds_that_a_value_leaves_are_not_used():
    percent = [93.0, 95.0]  # a logged accuracy in percent
    assert estimate(percent, (0.0, 1.0)) == estimate(percent)
    rounded = estimate([1.0 + 1e-9, 0.9], (0.0, 1.0))
    assert rounded.high == 1.0 + 1e-9


def test_shares_of_a_group_and_their_differences_stay_within_their_bounds():
    runs = [make_run("none", 0, seed, results={"leakage.share": 0.9 + 0.05 * seed}) for seed in (0, 1)]
    runs += [make_run("a", 1, seed, results={"leakage.share": 0.5 * seed}) for seed in (0, 1)]
    (column,) = columns(runs)
    baseline, smoothed = group_runs(runs, bounds=BOUNDS)
    for group in (baseline, smoothed):
        mean = mean_over_seeds(group, column)
        assert 0 <= mean.low <= mean.mean <= mean.high <= 1
    change, free = difference(smoothed, baseline, column), difference(*group_runs(runs)[::-1], column)
    assert (change.low, change.high) == (-1.0, 1.0) and free.low < -1 and free.high > 1
    assert change.p == free.p and change.mean == free.mean


def test_a_test_does_not_use_the_bounds():
    assert paired_t([0.1, 0.3], bounds=(-0.35, 0.35)).p == paired_t([0.1, 0.3]).p
    assert paired_t([0.1, 0.3], bounds=(-0.35, 0.35)).high == 0.35


def test_accuracies_of_the_training_are_shares_and_losses_are_not():
    assert bounds_of_curve("validation_accuracy") == bounds_of_curve("validation_worst_group") == (0.0, 1.0)
    assert bounds_of_curve("loss") == bounds_of_curve("penalty") == UNBOUNDED
