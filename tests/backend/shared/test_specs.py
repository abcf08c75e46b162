"""From requests to complete specs: defaults, sweeps, and the pointer of every wrong field."""

import dataclasses
import json
import math

import pytest

from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.store.runs import stored_spec

CATALOG = Catalog.built_in()


def pointers(raw, sweep=None):
    with pytest.raises(specs.InvalidRequest) as caught:
        specs.plan(CATALOG, raw, sweep)
    return [error.pointer for error in caught.value.errors]


def test_an_empty_request_is_the_default_demo():
    (planned,) = specs.plan(CATALOG, {}, None)
    spec = planned.spec
    assert (spec.dataset.key, spec.model.key, spec.regularizer.key) == ("blockmnist", "mlp", "marginal_density")
    assert spec.regularizer.params == {
        "estimator": "double_backward",
        "p_norm": "2",
        "power": 2,
        "every": 1,
        "h": 0.01,
    }
    assert [item.name for item in spec.evaluations] == ["accuracy", "leakage", "pgd_linf"]


def test_default_evaluations_are_those_that_the_data_set_has_images_for():
    spec = specs.complete(CATALOG, {"dataset": {"key": "mnist"}})
    assert [item.name for item in spec.evaluations] == ["accuracy", "pgd_linf"]
    asked = {"dataset": {"key": "mnist"}, "evaluations": [{"key": "leakage"}]}
    assert pointers(asked) == ["/spec/evaluations/0/key"]


def test_a_complete_spec_is_a_fixed_point():
    once = specs.complete(CATALOG, {"model": {"key": "cnn"}, "lambda_": 1}).model_dump()
    assert specs.complete(CATALOG, once).model_dump() == once


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ({"lambda_": -1}, "/spec/lambda_"),
        ({"lambda_": math.nan}, "/spec/lambda_"),
        ({"lambda_": math.inf}, "/spec/lambda_"),
        ({"epochs": 0}, "/spec/epochs"),
        ({"epochs": 10**9}, "/spec/epochs"),
        ({"seed": 2**64}, "/spec/seed"),
        ({"colour": "red"}, "/spec/colour"),
        ({"model": {"key": "transformer"}}, "/spec/model/key"),
        ({"model": {"key": "mlp", "params": {"hidden": 1.5}}}, "/spec/model/params/hidden"),
        ({"model": {"key": "mlp", "params": {"hidden": True}}}, "/spec/model/params/hidden"),
        ({"model": {"key": "mlp", "params": {"hidden": 10**30}}}, "/spec/model/params/hidden"),
        ({"model": {"key": "mlp", "params": {"pooling": "max"}}}, "/spec/model/params/pooling"),
        ({"optimizer": {"key": "adam", "params": {"lr": math.nan}}}, "/spec/optimizer/params/lr"),
        ({"train_samples": 3601}, "/spec/train_samples"),
        ({"precision": "float8"}, "/spec/precision"),
        ({"lr_schedule": {"key": "cosine", "params": {"warm_up": 2}}}, "/spec/lr_schedule/params/warm_up"),
        ({"augmentation": {"key": "shuffle"}}, "/spec/augmentation/key"),
        ({"augmentation": {"key": "random_crop", "params": {"padding": -1}}}, "/spec/augmentation/params/padding"),
        ({"sampling": "sorted"}, "/spec/sampling"),
        ({"sampling": "group_balanced"}, "/spec/sampling"),
        ({"gradient_clip": 0}, "/spec/gradient_clip"),
        ({"ema_decay": 1}, "/spec/ema_decay"),
        ({"early_stop": {"patience": 0}}, "/spec/early_stop/patience"),
        ({"early_stop": {"patience": 3, "metric": "loss"}}, "/spec/early_stop/metric"),
        ({"compile": "yes"}, "/spec/compile"),
        ({"compile": True}, "/spec/compile"),
        ({"compile": True, "regularizer": {"key": "curvature"}}, "/spec/compile"),
        ({"evaluations": [{"key": "pgd_linf", "params": {"epsilons": []}}]}, "/spec/evaluations/0/params/epsilons"),
        ({"evaluations": [{"key": "pgd_linf", "params": {"epsilons": [2]}}]}, "/spec/evaluations/0/params/epsilons"),
        ({"evaluations": [{"key": "leakage"}, {"key": "leakage"}]}, "/spec/evaluations/1/name"),
        (
            {"evaluations": [{"key": "leakage", "params": {"attribution": {"key": "magic"}}}]},
            "/spec/evaluations/0/params/attribution/key",
        ),
    ],
)
def test_a_wrong_field_is_named(raw, pointer):
    assert pointers(raw) == [pointer]


@pytest.mark.parametrize(("given", "kept"), [("1.50", "1.5"), (4, "4"), (2.0, "2"), ("inf", "inf"), ("1", "1")])
def test_any_norm_from_1_on_is_a_choice_with_one_spelling(given, kept):
    spec = specs.complete(CATALOG, {"regularizer": {"key": "marginal_density", "params": {"p_norm": given}}})
    assert spec.regularizer.params["p_norm"] == kept


@pytest.mark.parametrize("wrong", ["0.5", 0, "two", "nan", "1e999", True, ["2"]])
def test_other_norms_are_refused(wrong):
    with pytest.raises(specs.InvalidRequest, match="'1', '2', 'inf', or a number of at least 1"):
        specs.complete(CATALOG, {"regularizer": {"key": "input_gradient", "params": {"p_norm": wrong}}})


@pytest.mark.parametrize("wrong", [{"p_norm": "1"}, {"p_norm": "inf"}, {"power": 1}])
def test_random_projection_estimates_the_squared_two_norm_alone(wrong):
    params = {"estimator": "random_projection", **wrong}
    (name,) = wrong
    assert pointers({"regularizer": {"key": "marginal_density", "params": params}}) == [
        f"/spec/regularizer/params/{name}"
    ]


def test_a_map_of_no_class_takes_no_target_of_a_class():
    params = {"attribution": {"key": "log_density"}, "target": "log_prob"}
    assert pointers({"evaluations": [{"key": "leakage", "params": params}]}) == ["/spec/evaluations/0/params/target"]


def test_a_sweep_is_a_grid_in_order():
    planned = specs.plan(CATALOG, {}, {"lambda_": [0, 0.1], "seed": [0, 1]})
    assert [(item.spec.lambda_, item.spec.seed) for item in planned] == [(0, 0), (0, 1), (0.1, 0), (0.1, 1)]


def test_the_runs_of_a_sweep_are_those_of_their_own_specs():
    raw = {"evaluations": [{"key": "leakage"}], "optimizer": {"key": "sgd"}}
    sweep = {"seed": [3, 0, 2**31 - 1], "model.key": ["mlp", "cnn"], "lambda_": [0, 1e-40]}
    planned = specs.plan(CATALOG, raw, sweep)
    assert len(planned) == 12
    for item in planned:
        values = {path: value for path, (_, value) in item.point.items()}
        spec = {**raw, "seed": values["seed"], "model": {"key": values["model.key"]}, "lambda_": values["lambda_"]}
        alone = specs.plan_run(CATALOG, spec)
        assert item.spec == alone.spec and item.flags == alone.flags and item.first == alone.first == -1
        assert item.spec.seed == values["seed"]


def test_a_list_of_grids_puts_the_baseline_beside_a_method():
    planned = specs.plan(
        CATALOG, {}, [{"regularizer": [{"key": "none"}], "lambda_": [0]}, {"lambda_": [0.1, 1], "seed": [3]}]
    )
    assert [(item.spec.regularizer.key, item.spec.lambda_, item.spec.seed) for item in planned] == [
        ("none", 0, 0),
        ("marginal_density", 0.1, 3),
        ("marginal_density", 1, 3),
    ]


def test_a_dotted_path_reaches_a_parameter():
    planned = specs.plan(CATALOG, {"regularizer": {"key": "marginal_density"}}, {"regularizer.params.power": [1, 2]})
    assert [item.spec.regularizer.params["power"] for item in planned] == [1, 2]


@pytest.mark.parametrize(
    ("sweep", "pointer"),
    [
        ({"lambda_": [0, -1]}, "/sweep/lambda_/1"),
        ({"regularizer.params.p_norm": ["2", "three"]}, "/sweep/regularizer.params.p_norm/1"),
        ([{"seed": [0]}, {"epochs": [0]}], "/sweep/1/epochs/0"),
        ({"lambda_": [0, 1], "seed": [0, 1, 2**31, 3]}, "/sweep/seed/2"),
        ({"lambda_": [0, 1], "seed": [0, 1.5]}, "/sweep/seed/1"),
        ({"seed": [0, True], "lambda_": [0, 1]}, "/sweep/seed/1"),
        ({"colour": [1]}, "/sweep/colour/0"),
        ({"lambda_.x": [1]}, "/sweep/lambda_.x/0"),
        ({"colour.depth": [1]}, "/sweep/colour.depth/0"),
    ],
)
def test_a_wrong_value_of_a_sweep_is_named(sweep, pointer):
    assert pointers({}, sweep) == [pointer]


def test_a_sweep_of_more_than_500_runs_is_refused_before_it_is_made():
    assert pointers({}, {"seed": list(range(500)), "lambda_": list(range(500))}) == ["/sweep"]


def test_the_disagreement_of_estimators_is_flagged_where_it_holds():
    def flags(estimator, model, **params):
        spec = specs.complete(
            CATALOG,
            {
                "model": {"key": model, "params": params},
                "regularizer": {"key": "marginal_density", "params": {"estimator": estimator}},
            },
        )
        return {flag.key for flag in specs.cautions(CATALOG, spec)}

    assert flags("finite_difference", "mlp") == {"estimator_on_relu"}
    assert flags("random_projection", "cnn", activation="gelu") == {"estimator_on_max_pooling"}
    assert flags("finite_difference", "cnn", activation="silu", pooling="average") == set()
    assert flags("double_backward", "cnn") == set()


def test_equal_specs_have_equal_hashes():
    first, second = specs.complete(CATALOG, {}), specs.complete(CATALOG, RunSpec().model_dump())
    assert specs.spec_hash(first) == specs.spec_hash(first.model_dump())
    assert specs.spec_hash(first) == specs.spec_hash(second) != specs.spec_hash(specs.complete(CATALOG, {"seed": 1}))


def test_hostile_names_in_errors_can_be_stored_and_sent():
    hostile = {"model": {"key": "mlp", "params": {"\ud83d\x00": 1}}}
    with pytest.raises(specs.InvalidRequest) as caught:
        specs.complete(CATALOG, hostile)
    json.dumps([error.model_dump() for error in caught.value.errors], ensure_ascii=False).encode()


def test_compile_is_refused_with_the_estimators_that_go_with_it():
    with pytest.raises(specs.InvalidRequest) as caught:
        specs.plan(CATALOG, {"compile": True}, {"lambda_": [0, 0.1]})
    (error,) = caught.value.errors
    assert error.pointer == "/spec/compile"
    assert "estimator forward_mode or finite_difference or random_projection; or leave compile off" in error.detail


@pytest.mark.parametrize(
    "allowed",
    [
        {"lambda_": 0},
        {"regularizer": {"key": "none"}},
        {"regularizer": {"key": "trades"}},
        {"regularizer": {"key": "marginal_density", "params": {"estimator": "finite_difference"}}},
    ],
)
def test_compile_goes_where_no_gradient_is_differentiated(allowed):
    assert specs.complete(CATALOG, {"compile": True, **allowed}).compile


def test_the_augmentation_is_the_data_sets_own_unless_one_is_named():
    assert specs.complete(CATALOG, {}).augmentation.model_dump() == {"key": "none", "params": {}}
    entry = dataclasses.replace(CATALOG.find("dataset", "blockmnist"), augmentation="random_crop")
    others = [item for kind in CATALOG.by_kind for item in CATALOG.all(kind) if kind != "dataset"]
    catalog = Catalog.of([entry, *others])
    assert specs.complete(catalog, {}).augmentation.model_dump() == {"key": "random_crop", "params": {"padding": 4}}
    assert specs.complete(catalog, {"augmentation": {"key": "none"}}).augmentation.key == "none"


def test_a_stored_spec_of_the_first_version_reads_as_what_it_did():
    stored = specs.complete(CATALOG, {"model": {"key": "cnn"}, "lambda_": 0.5}).model_dump()
    new = {
        "lr_schedule",
        "augmentation",
        "algorithm",
        "sampling",
        "gradient_clip",
        "ema_decay",
        "early_stop",
        "compile",
        "deterministic",
    }
    old = {name: value for name, value in stored.items() if name not in new}
    assert len(old) == len(stored) - len(new)
    assert stored_spec(old).model_dump() == stored


def test_a_stored_early_stop_comes_back():
    spec = specs.complete(CATALOG, {"early_stop": {"patience": 3}})
    assert stored_spec(spec.model_dump()).early_stop == spec.early_stop
