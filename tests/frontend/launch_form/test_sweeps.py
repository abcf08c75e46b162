"""Lists of λ, several methods in one experiment, and what a copy changes."""

import pytest
from pydantic import ValidationError

from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.launch_form.sweeps import (
    Method,
    build_sweep,
    changes,
    count_runs,
    form_plan,
    log_spaced,
    without_baselines,
)

CATALOG = Catalog.built_in()


def test_log_spaced_values_have_equal_ratios_and_both_ends():
    assert log_spaced(0.001, 10, 5, with_zero=True) == [0, 0.001, 0.01, 0.1, 1, 10]
    assert log_spaced(0.1, 1, 3, with_zero=False) == [0.1, 0.32, 1]


@pytest.mark.parametrize(
    ("low", "high", "count"), [(0, 1, 3), (1, 1, 3), (2, 1, 3), (-1, 1, 3), (0.1, 1, 1), (0.1, 1, 2.5), (0.1, 1, 51)]
)
def test_log_spaced_refuses_ends_without_a_logarithm(low, high, count):
    with pytest.raises(ValueError, match=r"first value|2 values"):
        log_spaced(low, high, count, with_zero=True)


def test_several_methods_make_the_runs_that_the_api_plans():
    grid = {"lambda_": [0.1, 1], "seed": [0, 1], "optimizer.params.lr": [0.1, 0.01]}
    methods = [Method({"key": "none", "params": {}}, [0]), Method({"key": "jacobian", "params": {}}, [0.5])]
    sweep = build_sweep(grid, methods[:1], "optimizer.params.lr")
    planned = specs.plan(CATALOG, {}, sweep)
    assert len(planned) == count_runs(sweep) == 8 + 4
    assert [item.spec.regularizer.key for item in planned].count("none") == 4
    assert all(item.spec.lambda_ == 0 for item in planned if item.spec.regularizer.key == "none")


@pytest.mark.parametrize(
    ("main", "others", "kept"),
    [
        ([0, 1], [[0, 1], [0, 2]], [[1], [2]]),
        ([0, 1], [[0], [2]], [[2]]),  # one without a penalty would be the baseline again
        ([1], [[0, 1], [0, 2]], [[0, 1], [2]]),
        ([1], [[1], [2]], [[1], [2]]),
    ],
)
def test_the_baseline_is_trained_once_for_all_regularizers(main, others, kept):
    keys = ["jacobian", "none"]
    methods = [Method({"key": key, "params": {}}, values) for key, values in zip(keys, others, strict=True)]
    left = without_baselines(methods, main)
    assert [method.lambdas for method in left] == kept
    sweep = build_sweep({"lambda_": main, "seed": [0, 1]}, left, None)
    planned = specs.plan(CATALOG, {}, sweep)
    assert sum(item.spec.lambda_ == 0 for item in planned) == (2 if 0 in [*main, *others[0], *others[1]] else 0)


def test_a_parameter_of_the_regularizer_is_not_asked_of_the_others():
    grid = {"lambda_": [1.0], "seed": [0], "regularizer.params.power": [1, 2]}
    sweep = build_sweep(grid, [Method({"key": "none", "params": {}}, [0])], "regularizer.params.power")
    assert len(specs.plan(CATALOG, {}, sweep)) == count_runs(sweep) == 3


def test_what_the_form_makes_it_can_draw_again():
    grid = {"lambda_": [0.1, 1], "seed": [0, 1]}
    methods = [Method({"key": "none", "params": {}}, [0])]
    plan = form_plan(ExperimentRequest(sweep=build_sweep(grid, methods, None)))
    assert plan.grid == grid and plan.methods == methods
    assert form_plan(ExperimentRequest(spec={"lambda_": 3})).grid == {"lambda_": [3], "seed": [0]}
    assert build_sweep({"lambda_": [3], "seed": [0]}, [], None) is None


@pytest.mark.parametrize(
    "sweep",
    [
        [{"lambda_": [1]}, {"lambda_": [2]}],
        [{"seed": [0]}, {"regularizer": [{"key": "none"}], "seed": [1]}],
        {"regularizer": [{"key": "none"}, {"key": "marginal_density"}]},
    ],
)
def test_a_sweep_of_another_shape_is_refused(sweep):
    with pytest.raises(ValueError, match="regularizer"):
        form_plan(ExperimentRequest(sweep=sweep))


@pytest.mark.parametrize("value", ["none", {"params": {}}, {"key": "jacobian", "params": None}])
def test_a_sweep_of_what_is_no_regularizer_is_refused(value):
    for sweep in ({"regularizer": [value]}, [{"lambda_": [1]}, {"regularizer": [value]}]):
        with pytest.raises(ValueError, match="Component"):
            form_plan(ExperimentRequest(sweep=sweep))


def test_changes_name_what_differs_and_nothing_else():
    before = ExperimentRequest(name="a", spec={"lambda_": 0.1}, notes="x")
    after = ExperimentRequest(name="b", spec={"lambda_": 0.3, "model": {"key": "cnn"}}, sweep={"seed": [0, 1]})
    assert changes(before, before) == []
    assert changes(before, after) == [
        ("model.key", "mlp", "cnn"),
        ("lambda_", "0.1", "0.3"),
        ("seed", "0", "0, 1"),
    ]


def test_requests_that_are_none_are_not_taken():
    with pytest.raises(ValidationError):
        form_plan(ExperimentRequest(spec={"lambda_": -1}))
