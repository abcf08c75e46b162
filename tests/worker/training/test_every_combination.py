"""Every regularizer with each of its norms on every model with each of its normalisations: two steps, or an error.

The whole matrix is part of `make test-all`; by default each regularizer is tested on one model.
"""

import importlib.util
import math
from dataclasses import replace

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.specs import InvalidRequest, complete
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import build_model, build_optimizer, component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import fit
from densitylab.worker.training.state import TrainingState

CATALOG = Catalog.built_in()

SMALL = replace(CATALOG.find("dataset", "blockmnist"), image_size=(16, 16))
CHEAPER = {"steps": 2, "depth": 2, "width": 32}  # of components that have such a parameter


def variants(entry, names):
    """Parameters of an entry: every choice of those in `names`, cheap ones for the rest."""
    combinations = [{name: value for name, value in CHEAPER.items() if entry.param(name)}]
    for param in entry.params:
        if param.name in names:
            combinations = [{**params, param.name: choice} for params in combinations for choice in param.choices]
    return combinations


REGULARIZERS = [
    (entry.key, params)
    for entry in CATALOG.all("regularizer")
    for params in variants(entry, ("estimator", "target", "p_norm"))
]
MODELS = [
    (entry.key, params)
    for entry in CATALOG.all("model")
    if entry.package is None or importlib.util.find_spec(entry.package)
    # ConvNeXt and ViT-B/16 take other image sizes; a WideResNet has the blocks of a PreAct-ResNet, and takes long
    if entry.key not in ("convnext_tiny", "vit_b16", "wide_resnet28_10")
    for params in variants(entry, ("norm",))
]


def label(part):
    return "-".join([part[0], *(str(value) for name, value in part[1].items() if name not in CHEAPER)])


def cases(diagonal):
    return [
        pytest.param(regularizer, model, id=f"{label(regularizer)}-{label(model)}")
        for i, regularizer in enumerate(REGULARIZERS)
        for j, model in enumerate(MODELS)
        if (i % len(MODELS) == j) == diagonal
    ]


def two_steps_or_a_refusal(regularizer, model):
    refused = regularizer[1].get("estimator") == "random_projection" and regularizer[1]["p_norm"] != "2"
    parts = {
        kind: {"key": key, "params": params} for kind, (key, params) in (("regularizer", regularizer), ("model", model))
    }
    if refused:
        with pytest.raises(InvalidRequest, match="squared 2-norm alone"):
            complete(CATALOG, parts)
        return
    spec = complete(CATALOG, parts)
    generator = torch.Generator().manual_seed(0)
    masks = torch.arange(16).view(1, 1, 16, 1).expand(8, 1, 16, 16) < 8
    images = torch.randint(0, 256, (8, 1, 16, 16), generator=generator, dtype=torch.uint8)
    data = Dataset(images, torch.arange(8), masks)
    state = TrainingState.new(
        seed=0,
        device="cpu",
        threads=1,
        build_model=lambda: build_model(CATALOG, spec.model.key, spec.model.params, SMALL),
        build_optimizer=lambda parameters: build_optimizer(CATALOG, "adam", {}, parameters),
    )
    before = [parameter.clone() for parameter in state.model.parameters()]
    smoothing = component(CATALOG, "regularizer", spec.regularizer.key, spec.regularizer.params)
    reports = []
    fit(
        state,
        Batches(data, batch_size=4, seed=0, device="cpu"),
        None,
        TrainingConfig(
            regularizer=smoothing.function,
            uses=smoothing.entry.uses,
            **smoothing.trainer,
            lambda_=0.1,
            schedule=component(CATALOG, "schedule", "constant").function,
            epochs=1,
        ),
        on_step=reports.append,
        should_stop=lambda: False,
    )
    assert [report.step for report in reports] == [1, 2]
    for report in reports:
        assert {"loss", "penalty"} <= report.values.keys()
        assert all(math.isfinite(value) for value in report.values.values())
    after = list(state.model.parameters())
    assert all(parameter.isfinite().all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(("regularizer", "model"), cases(diagonal=True))
@pytest.mark.few(9)
def test_two_steps(regularizer, model):
    two_steps_or_a_refusal(regularizer, model)


@pytest.mark.slow
@pytest.mark.parametrize(("regularizer", "model"), cases(diagonal=False))
def test_two_steps_of_all_others(regularizer, model):
    two_steps_or_a_refusal(regularizer, model)


@pytest.mark.parametrize("key", ["jacobian", "curvature", "gaussian_noise", "adversarial_training", "trades"])
def test_unsupported_parameters_are_refused_and_every_is_for_all(key):
    assert complete(CATALOG, {"regularizer": {"key": key, "params": {"every": 4}}}).regularizer.params["every"] == 4
    with pytest.raises(InvalidRequest, match="has no parameter 'power'"):
        complete(CATALOG, {"regularizer": {"key": key, "params": {"power": 1}}})
    with pytest.raises(InvalidRequest, match="p_norm"):
        complete(CATALOG, {"regularizer": {"key": key, "params": {"p_norm": "1"}}})


def test_nothing_is_left_out():
    assert {key for key, _ in REGULARIZERS} == {entry.key for entry in CATALOG.all("regularizer")}
    assert {"mlp", "cnn", "vgg11", "resnet18", "resnet34", "vit"} <= {key for key, _ in MODELS}
    tested = {label(case.values[1]) for case in cases(diagonal=True)}
    assert tested == {label(model) for model in MODELS}
    total = len(cases(diagonal=True)) + len(cases(diagonal=False))
    assert total == len(REGULARIZERS) * len(MODELS)
