"""Every attack, attribution, perturbation, regularizer and evaluation on two classes, the fewest that there are."""

import copy
import importlib.util
from dataclasses import replace

import pytest
import torch
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.corrupted import Corrupted
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.autoattack import autoattack_linf_accuracy
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
@pytest.mark.few(4)
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
    offered = {"masks": data.masks, "cross_entropy": CrossEntropy().per_sample, "replace_logits": [].append}
    penalty = component(CATALOG, "regularizer", entry.key).function(
        model, x, model(x), data.labels, generator=generator(), **{name: offered[name] for name in entry.uses}
    )
    assert penalty.shape == (8,) and penalty.isfinite().all()


@pytest.mark.parametrize("entry", installed("evaluation"))
@pytest.mark.few(8)
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


@pytest.mark.parametrize(
    ("classes", "words"), [(2, "APGD on the margin"), (3, "APGD on the difference of logits ratio"), (4, None)]
)
def test_autoattack_says_what_takes_the_place_of_the_targeted_attack(classes, words):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, classes)).eval()
    images = torch.randint(0, 256, (4, 1, 6, 6), generator=generator(), dtype=torch.uint8)
    y = network(images / 255).argmax(1)
    result = autoattack_linf_accuracy(network, Dataset(images, y), epsilons=[0.3], generator=generator(), **HOOKS)
    assert result.values["accuracy"].value < 1
    texts = [flag.text for flag in result.flags if flag.key == "without_targeted_dlr"]
    assert (len(texts) == 1 and words in texts[0]) if words else not texts
