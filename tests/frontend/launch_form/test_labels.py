"""Name and tags that follow the settings, and the differences between a copy and its original in words."""

import pytest

from densitylab.backend.api.routes.catalog import catalog_answers
from densitylab.backend.shared.catalog import Catalog as BuiltIn
from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.presets import DEMO
from densitylab.frontend.launch_form.changes import Change, readable_changes
from densitylab.frontend.launch_form.labels import labels_of
from densitylab.frontend.launch_form.remarks import radius_remarks, size_remarks

CATALOG = Catalog(catalog_answers(BuiltIn.built_in()))
REGULARIZERS = [entry.key for entry in CATALOG.entries("regularizer")]
WITH_CNN = {**DEMO.request.spec, "model": {"key": "cnn"}}


def test_unchanged_settings_keep_the_name_and_the_tags_of_the_start():
    renamed = DEMO.request.model_copy(update={"name": "another", "tags": [], "notes": "x"})
    labels = labels_of(renamed, DEMO.request, catalog=CATALOG)
    assert (labels.name, labels.tags) == (DEMO.request.name, ["demo"])


def test_a_changed_preset_is_named_by_its_settings():
    changed = DEMO.request.model_copy(update={"spec": WITH_CNN, "sweep": {"lambda_": [0, 0.1], "seed": [0, 1]}})
    labels = labels_of(changed, DEMO.request, catalog=CATALOG)
    assert labels.tags == ["blockmnist", "cnn", "marginal_density"]
    parts = [CATALOG.label(*item) for item in (("dataset", "blockmnist"), ("model", "cnn"))]
    assert labels.name == f"{parts[0]}; {parts[1]}; Marginal-density smoothing λ = 0, 0.1; 2 seeds"


def test_a_changed_copy_is_named_by_what_is_changed_and_keeps_its_tags():
    original = ExperimentRequest(name="Copy of run 7", spec={"epochs": 2, "lambda_": 0.1}, tags=["paper"])
    changed = original.model_copy(update={"spec": {"epochs": 3, "lambda_": 0.1}})
    labels = labels_of(changed, original, typed=("name", "tags"), catalog=CATALOG)
    assert labels.name == "Copy of run 7: Epochs 2 → 3" and labels.tags == ["paper"]


def test_a_name_has_at_most_the_length_that_the_api_takes():
    original = ExperimentRequest(name="x" * 195, spec={"epochs": 2})
    changed = original.model_copy(update={"spec": {"epochs": 3}})
    name = labels_of(changed, original, typed=("name",), catalog=CATALOG).name
    assert len(name) == 200 and ExperimentRequest(name=name)


DATA_AND_MODEL = f"{CATALOG.label('dataset', 'blockmnist')}; {CATALOG.label('model', 'mlp')}"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (
            {
                "sweep": [
                    {"lambda_": [0, 1], "seed": [0, 1]},
                    {"regularizer": [{"key": "jacobian"}], "lambda_": [0.1, 3], "seed": [0, 1]},
                ]
            },
            "Marginal-density smoothing λ = 0, 1; {jacobian} λ = 0.1, 3; 2 seeds",
        ),
        (
            {"sweep": [{"lambda_": [1], "seed": [4]}, {"regularizer": [{"key": "none"}], "lambda_": [0], "seed": [4]}]},
            "Marginal-density smoothing λ = 1; {none}; seed 4",
        ),
        (
            {
                "sweep": [
                    {"lambda_": [0, 1], "seed": [0, 1, 2]},
                    {"regularizer": [{"key": "none"}], "lambda_": [0], "seed": [0, 1, 2]},
                    {"regularizer": [{"key": "jacobian"}], "lambda_": [0.1, 3], "seed": [0, 1, 2]},
                ]
            },
            "2 regularizers; 3 seeds",
        ),
        (
            {"sweep": {"lambda_": [0, 0.1, 1, 10, 100], "model.params.hidden": [64, 128]}},
            "Marginal-density smoothing λ = 0 to 100 (5 values); hidden = 64, 128; seed 0",
        ),
        (
            {"sweep": {"model.params.activation": ["relu", "gelu"]}},
            "Marginal-density smoothing λ = 0.1; activation = relu, gelu; seed 0",
        ),
        (
            {"sweep": None, "search": {"kind": "bracket", "result": "leakage.leakage", "seeds": [0, 1]}},
            "Marginal-density smoothing; search for λ; 2 seeds",
        ),
    ],
)
def test_the_name_has_what_varies(changes, name):
    request = ExperimentRequest.model_validate({"spec": DEMO.request.spec, **changes})
    labels = {key: CATALOG.label("regularizer", key) for key in REGULARIZERS}
    found = labels_of(request, DEMO.request, catalog=CATALOG).name
    assert found == f"{DATA_AND_MODEL}; {name.format(**labels)}"


def test_changes_have_the_labels_of_the_form():
    before = ExperimentRequest(spec={"model": {"key": "mlp", "params": {"activation": "relu"}}, "lambda_": 0.1})
    after = ExperimentRequest(
        spec={"model": {"key": "mlp", "params": {"activation": "gelu"}}, "regularizer": {"key": "jacobian"}},
        sweep={"lambda_": [0, 0.1]},
    )
    found = readable_changes(before, after, CATALOG)
    regularizer = CATALOG.label("regularizer", "jacobian")
    assert Change("Model: activation", "relu", "gelu") in found
    assert Change("Regularizer", "Marginal-density smoothing", regularizer) in found
    assert Change("λ", "0.1", "0, 0.1") in found


@pytest.mark.parametrize(
    ("spec", "pointers"),
    [
        ({"batch_size": 3600}, []),
        ({"batch_size": 3601}, ["/spec/batch_size"]),
        ({"batch_size": 100, "train_samples": 99}, ["/spec/batch_size"]),
        ({"train_samples": 3601}, ["/spec/train_samples"]),
        ({"batch_size": 4000, "train_samples": 5000}, ["/spec/train_samples", "/spec/batch_size"]),
    ],
)
def test_numbers_larger_than_the_training_set_are_said(spec, pointers):
    assert [item.pointer for item in size_remarks(ExperimentRequest(spec=spec), CATALOG)] == pointers


ADVERSARIAL = {"key": "adversarial_training", "params": {"epsilon": 0.03}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"regularizer": ADVERSARIAL}, [("/spec/regularizer/params/epsilon", {"regularizer.params.epsilon": 0.1})]),
        ({"regularizer": {**ADVERSARIAL, "params": {"epsilon": 0.2}}}, []),  # one of the evaluated radii
        ({"regularizer": {**ADVERSARIAL, "params": {"epsilon": 0.5, "p_norm": "2"}}}, []),  # another ball
        (
            {"regularizer": {"key": "fast_adversarial_training", "params": {"epsilon": 0.03}}},
            [("/spec/regularizer/params/epsilon", {"regularizer.params.epsilon": 0.1})],
        ),
        (
            {"schedule": {"key": "robustness", "params": {"epsilon": 0.05}}},
            [("/spec/schedule/params/epsilon", {"schedule.params.epsilon": 0.1})],
        ),
        ({"regularizer": ADVERSARIAL, "evaluations": [{"key": "leakage"}]}, []),
    ],
)
def test_a_training_against_another_radius_than_the_evaluated_one_is_said(spec, expected):
    attacked = {"evaluations": [{"key": "pgd_linf", "params": {"epsilons": [0.1, 0.2]}}], **spec}
    found = radius_remarks(ExperimentRequest(spec=attacked), CATALOG)
    assert [(item.pointer, item.remedy) for item in found] == expected


def test_a_further_regularizer_with_another_radius_is_said():
    sweep = [{"lambda_": [0], "seed": [0]}, {"regularizer": [ADVERSARIAL], "lambda_": [1], "seed": [0]}]
    spec = {"evaluations": [{"key": "pgd_linf", "params": {"epsilons": [0.1]}}]}
    (found,) = radius_remarks(ExperimentRequest(spec=spec, sweep=sweep), CATALOG)
    assert found.pointer == "/sweep/1/regularizer/0/params/epsilon" and "0.03" in found.text and "0.1" in found.text
