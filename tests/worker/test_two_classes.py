"""Every attack, attribution, perturbation, regularizer and evaluation on two classes, the fewest that there are."""

import copy
import importlib.util
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.attacks.autoattack import autoattack
from densitylab.worker.datasets.corrupted import Corrupted
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.autoattack import autoattack_accuracy
from densitylab.worker.evaluations.result import Result
from densitylab.worker.resolve import build_model, component
from densitylab.worker.training.cross_entropy import CrossEntropy

CATALOG = Catalog.built_in()
TWO = replace(CATALOG.find("dataset", "blockmnist"), key="two", num_classes=2, image_size=(12, 12))
HOOKS = {"progress": lambda share: None, "should_stop": lambda: False}


def installed(kind):
    return [
        pytest.param(entry, id=entry.key)
        for entry in CATALOG.all(kind)
        if entry.package is None or importlib.util.find_spec(entry.package) is not None
    ]


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def data():
    mask = torch.zeros(8, 1, 12, 12, dtype=torch.bool)
    mask[:, :, :6] = True
    images = torch.randint(0, 256, (8, 1, 12, 12), generator=generator(), dtype=torch.uint8)
    return Dataset(images, torch.arange(8) % 2, mask, torch.arange(8) // 2 % 2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(CATALOG, "cnn", {"width": 4}, TWO).eval()


@pytest.mark.parametrize("entry", installed("attack"))
def test_an_attack(entry, model, data):
    x, params = data.images / 255, {"steps": 3} if entry.param("steps") else {}
    y = model(x).argmax(1)
    x_adv = component(CATALOG, "attack", entry.key, params).function(model, x, y, generator=generator())
    assert x_adv.isfinite().all() and not torch.equal(x_adv, x)


@pytest.mark.parametrize("entry", installed("attribution"))
def test_an_attribution(entry, model, data):
    maps = component(CATALOG, "attribution", entry.key).function(model, data.images / 255, data.labels)
    assert maps.isfinite().all() and maps.any()


@pytest.mark.parametrize("entry", installed("perturbation"))
def test_a_perturbation(entry, model, data):
    perturbed = component(CATALOG, "perturbation", entry.key).function(
        model, data.images / 255, data.labels, generator=generator()
    )
    assert perturbed.images.isfinite().all()


@pytest.mark.parametrize("entry", installed("regularizer"))
def test_a_regularizer(entry, model, data):
    x = (data.images / 255).requires_grad_()
    offered = {"masks": data.masks, "cross_entropy": CrossEntropy().per_sample}
    penalty = component(CATALOG, "regularizer", entry.key).function(
        model, x, model(x), data.labels, generator=generator(), **{name: offered[name] for name in entry.uses}
    )
    assert penalty.shape == (8,) and penalty.isfinite().all()


@pytest.mark.parametrize("entry", installed("evaluation"))
def test_an_evaluation(entry, model, data):
    offered = {
        "train_data": lambda: data,
        "fresh_model": lambda: copy.deepcopy(model),
        "prior_results": [],
        "corruptions": Corrupted(lambda corruption, severity, indices: data, data.labels.numpy()),
    }
    named = {param.name: copy.deepcopy(model) for param in entry.params if param.type == "run"}
    result = component(CATALOG, "evaluation", entry.key, {"steps": 3} if entry.param("steps") else {}).function(
        model, data, generator=generator(), **HOOKS, **{name: offered[name] for name in entry.uses}, **named
    )
    assert isinstance(result, Result) and any(value.value is not None for value in result.values.values())


class Toolbox:
    """Stands for the Adversarial Robustness Toolbox where it is not installed; records the losses of the attack."""

    def __init__(self):
        self.losses = []

    def modules(self):
        evasion, classification = ModuleType("art.attacks.evasion"), ModuleType("art.estimators.classification")
        evasion.AutoProjectedGradientDescent = lambda *_, loss_type, **__: self.losses.append(loss_type)
        evasion.DeepFool = lambda *_, **__: None
        evasion.AutoAttack = lambda *_, **__: SimpleNamespace(generate=lambda x, y: x)
        classification.PyTorchClassifier = lambda *_, **__: None
        parents = {name: ModuleType(name) for name in ("art", "art.attacks", "art.estimators")}
        return {**parents, "art.attacks.evasion": evasion, "art.estimators.classification": classification}


@pytest.mark.parametrize(
    ("classes", "losses"),
    [
        (2, ["cross_entropy"]),
        (3, ["cross_entropy", "difference_logits_ratio"]),
        (10, ["cross_entropy", "difference_logits_ratio"]),
    ],
)
def test_autoattack_leaves_out_the_ratio_loss_where_it_is_not_defined(classes, losses, monkeypatch):
    toolbox = Toolbox()
    for name, module in toolbox.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, classes)).eval()
    images = torch.randint(0, 256, (4, 1, 6, 6), generator=generator(), dtype=torch.uint8)
    x = images / 255
    y = network(x).argmax(1)
    x_adv = autoattack(network, x, y, epsilon=0.3, generator=generator())
    assert toolbox.losses == losses
    assert ((x_adv - x).abs() <= 0.3 + 1e-6).all() and (network(x_adv).argmax(1) != y).any()
    result = autoattack_accuracy(network, Dataset(images, y), epsilons=[0.3], generator=generator(), **HOOKS)
    assert ("without_ratio_loss" in {flag.key for flag in result.flags}) == (classes == 2)
