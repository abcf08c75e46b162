"""Defaults that belong to a model with an optimizer, and warnings that name their field and what avoids them."""

import pytest

from densitylab.backend.services.estimates import training_notes
from densitylab.backend.shared.catalog import Catalog, OptimizerEntry
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.specs import complete, plan

CATALOG = Catalog.built_in()
PRETRAINED = {"key": "resnet18", "params": {"pretrained": True, "pooling": "max"}}


def optimizer(**spec):
    return complete(CATALOG, {"evaluations": [], **spec}).optimizer.params


def test_a_request_without_a_learning_rate_takes_the_models():
    cnn = {"key": "cnn", "params": {"activation": "gelu"}}
    assert optimizer(model=cnn, optimizer={"key": "sgd", "params": {"momentum": 0.5}}) == {
        "lr": 0.03,
        "momentum": 0.5,
        "weight_decay": 0.0,
    }
    assert optimizer(model=cnn, optimizer={"key": "sgd", "params": {"lr": 0.1}})["lr"] == 0.1
    assert optimizer(model={"key": "torchvision"}, optimizer={"key": "sgd"})["lr"] == 0.1
    swept = plan(CATALOG, {"evaluations": [], "optimizer": {"key": "sgd"}}, {"model.key": ["cnn", "vgg11"]})
    assert [item.spec.optimizer.params["lr"] for item in swept if item.spec.model.key == "cnn"] == [0.03]


def test_recommended_rates_are_within_the_optimizers_bounds():
    for model in CATALOG.all("model"):
        for key, rate in (model.learning_rates or {}).items():
            assert CATALOG.find(OptimizerEntry, key).param("lr").check(rate) == (rate, None), (model.key, key)


@pytest.mark.parametrize(
    ("dataset", "remedy"),
    [
        ({"key": "waterbirds"}, {"dataset.params.image_size": 96}),
        ({"key": "cifar10"}, {"interface.image_size": [96, 96]}),
    ],
)
def test_lost_layers_are_kept_by_the_offered_size(dataset, remedy):
    raw = {"evaluations": [], "dataset": dataset, "model": PRETRAINED}
    (item,) = plan(CATALOG, raw, None)
    (caution,) = item.cautions
    (path,) = remedy
    assert caution.remedy == remedy and caution.pointer == "/spec/" + path.replace(".", "/")
    assert [flag.model_dump() for flag in item.flags] == [{"key": caution.key, "text": caution.text}]
    assert not plan(CATALOG, raw, {path: list(remedy.values())})[0].cautions


def test_options_of_the_loss_and_memory_are_explained():
    assert list(training_notes.notes(RunSpec(), 100, 10)) == []
    spec = RunSpec(
        label_smoothing=0.1, class_weights="balanced", gradient_accumulation=3, activation_checkpointing=True
    )
    smoothing, weights, parts, again = training_notes.notes(spec, 100, 10)
    assert "0.91 instead of 1" in smoothing and "each class counts" in weights
    assert "3 parts of at most 34" in parts and "computed again" in again
