"""Name and tags that follow the settings, and the differences between a copy and its original in words."""

import pytest

from densitylab.backend.api.routes.catalog import catalog_answers
from densitylab.backend.shared.catalog import Catalog as BuiltIn
from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.presets import DEMO
from densitylab.frontend.launch_form.changes import Change, readable_changes
from densitylab.frontend.launch_form.labels import labels_of
from densitylab.frontend.launch_form.remarks import size_remarks

CATALOG = Catalog(catalog_answers(BuiltIn.built_in()))
WITH_CNN = {**DEMO.request.spec, "model": {"key": "cnn"}}


def test_unchanged_settings_keep_the_name_and_the_tags_of_the_start():
    renamed = DEMO.request.model_copy(update={"name": "another", "tags": [], "notes": "x"})
    labels = labels_of(renamed, DEMO.request, copied=False, catalog=CATALOG)
    assert (labels.name, labels.tags) == (DEMO.request.name, ["demo"])


def test_a_changed_preset_is_named_by_its_settings():
    changed = DEMO.request.model_copy(update={"spec": WITH_CNN, "sweep": {"lambda_": [0, 0.1], "seed": [0, 1]}})
    labels = labels_of(changed, DEMO.request, copied=False, catalog=CATALOG)
    assert labels.tags == ["blockmnist", "cnn", "marginal_density"]
    parts = [CATALOG.label(*item) for item in (("dataset", "blockmnist"), ("model", "cnn"))]
    assert labels.name == f"{parts[0]}, {parts[1]}, Marginal-density smoothing, λ = 0, 0.1, 2 seeds"


def test_a_changed_copy_is_named_by_what_is_changed_and_keeps_its_tags():
    original = ExperimentRequest(name="Copy of run 7", spec={"epochs": 2, "lambda_": 0.1}, tags=["paper"])
    changed = original.model_copy(update={"spec": {"epochs": 3, "lambda_": 0.1}})
    labels = labels_of(changed, original, copied=True, catalog=CATALOG)
    assert labels.name == "Copy of run 7: Epochs 2 → 3" and labels.tags == ["paper"]


def test_a_name_has_at_most_the_length_that_the_api_takes():
    many = DEMO.request.model_copy(update={"sweep": {"lambda_": [index / 7 for index in range(60)], "seed": [0]}})
    name = labels_of(many, DEMO.request, copied=False, catalog=CATALOG).name
    assert len(name) == 200 and ExperimentRequest(name=name)


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
