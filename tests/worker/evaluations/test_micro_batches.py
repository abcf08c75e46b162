"""Micro-batches: sizes from the memory of a network, and results that do not depend on them."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.attacks import autoattack
from densitylab.worker.datasets.corrupted import Corrupted
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.micro_batch_size import (
    MicroBatchSize,
    activation_bytes,
    cpu_size,
    gpu_size,
    micro_batch_size,
)
from densitylab.worker.evaluations.micro_batches import MicroBatched, in_micro_batches
from densitylab.worker.resolve import build_model, component

CATALOG = Catalog.built_in()
MIB = 2**20
IMAGES = 17
WHOLE = MicroBatchSize(IMAGES, IMAGES)
SPLIT = {"kept": MicroBatchSize(3, IMAGES), "computed again": MicroBatchSize(3, 3)}
# a pass of another size rounds matrix products differently, so bits may differ: in float64 by this much
TOLERANCE = {"rtol": 1e-9, "atol": 1e-12}


def network(seed):
    torch.manual_seed(seed)
    convolution = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
    model = nn.Sequential(*convolution, nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 5)).double().eval()
    with torch.no_grad():
        model[-1].bias -= model(torch.rand(50, 1, 10, 8).double()).mean(0)  # every class is predicted somewhere
    return model


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(IMAGES, 1, 10, 8, dtype=torch.bool)
    masks[:, :, :5] = True
    images = torch.randint(0, 256, (IMAGES, 1, 10, 8), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        labels = network(0)(images.double() / 255).argmax(1)  # so that attacks have something to do
    return Dataset(images, labels, masks, torch.arange(IMAGES) % 2)


def evaluated(entry, data, size, params):
    """Return the result with all networks and the attribution method in micro-batches of this size."""
    offered = {
        "train_data": lambda: data,
        "fresh_model": lambda: MicroBatched(network(1), size),
        "prior_results": [],
        "corruptions": Corrupted(lambda corruption, severity, indices: data, data.labels.numpy()),
    }
    given = {name: offered[name] for name in entry.uses}
    given |= {param.name: MicroBatched(network(2), size) for param in entry.params if param.type == "run"}
    for param in entry.params:
        if param.kind == "attribution":
            chosen = params.get(param.name, param.default)
            function = component(CATALOG, "attribution", chosen["key"], chosen["params"]).function
            given[param.name] = in_micro_batches(function, size)
    return component(CATALOG, "evaluation", entry.key, {} if "attribution" in params else params).function(
        MicroBatched(network(0), size),
        data,
        generator=torch.Generator().manual_seed(0),
        progress=lambda share: None,
        should_stop=lambda: False,
        **given,
    )


def same(one, other):
    assert one.values.keys() == other.values.keys() and one.flags == other.flags
    for name, value in one.values.items():
        assert value.n == other.values[name].n
        if value.value is not None:
            assert value.value == pytest.approx(other.values[name].value, rel=1e-6), name
    for name, array in one.arrays.items():
        tolerance = TOLERANCE if array.dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(array, other.arrays[name], **tolerance, err_msg=name)


@pytest.mark.parametrize("how", SPLIT)
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.key) for entry in CATALOG.all("evaluation")])
def test_an_evaluation_gives_the_same_result_in_micro_batches(entry, how, data, monkeypatch):
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        pytest.skip(f"needs {entry.package}, which is not installed")
    monkeypatch.setattr(autoattack, "QUERIES", 30)
    params = {name: count for name, count in {"steps": 5, "queries": 50}.items() if entry.param(name)}
    same(evaluated(entry, data, WHOLE, params), evaluated(entry, data, SPLIT[how], params))


@pytest.mark.parametrize("how", SPLIT)
@pytest.mark.parametrize("method", [entry.key for entry in CATALOG.all("attribution")])
def test_a_map_is_the_same_in_micro_batches(method, how, data):
    entry, params = CATALOG.find("evaluation", "leakage"), {"attribution": {"key": method, "params": {}}}
    same(evaluated(entry, data, WHOLE, params), evaluated(entry, data, SPLIT[how], params))


@pytest.mark.parametrize("method", ["deeplift", "grad_cam"])
def test_a_map_of_a_network_with_smaller_micro_batches_is_the_same(method, data):
    # On a GPU a network that is loaded later has less memory
    function = component(CATALOG, "attribution", method, {}).function
    x, target = data.images.double() / 255, data.labels
    later = MicroBatched(network(1), MicroBatchSize(4, 4))
    maps = in_micro_batches(function, MicroBatchSize(9, 9))(later, x, target)
    assert torch.allclose(maps, function(network(1), x, target), **TOLERANCE)


def test_at_most_twice_a_micro_batch_passes_at_once_and_gradients_are_those_of_the_model(data):
    sizes = []
    model = network(0)
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    x = data.images.double() / 255
    inputs = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(inputs).logsumexp(1).sum(), inputs)
    for size in SPLIT.values():
        sizes.clear()
        inputs = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(MicroBatched(model, size)(inputs).logsumexp(1).sum(), inputs)
        assert max(sizes) == 3
        assert torch.allclose(gradient, expected, rtol=1e-12, atol=1e-15)
    sizes.clear()
    MicroBatched(model, SPLIT["kept"])(x[:6])
    assert sizes == [6]


def test_activations_are_counted_by_what_a_layer_keeps_for_its_gradient():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(80, 20, dtype=torch.float64))
    x = torch.rand(1, 1, 10, 8).double()
    assert activation_bytes(linear, x) == 80 * 8  # the images, which the weights' gradient needs
    tall = nn.Sequential(nn.Flatten(), nn.Linear(80, 20), nn.Tanh(), nn.Linear(20, 5))
    assert activation_bytes(tall, x.float()) == (80 + 20) * 4  # Tanh keeps its output, the next layer's input


def test_without_a_gpu_the_size_follows_from_the_network_alone():
    dataset = CATALOG.find("dataset", "blockmnist")
    x = torch.rand(1, 1, *dataset.image_size)
    size = {key: micro_batch_size(build_model(CATALOG, key, {}, dataset).eval(), x) for key in ("mlp", "cnn")}
    assert size["mlp"].images == 256 and size["cnn"].images == 64
    assert min(one.kept for one in size.values()) >= 250
    assert cpu_size(MIB // 4).images == 256 and cpu_size(MIB // 4 + 1).images == 64
    assert cpu_size(100 * MIB) == MicroBatchSize(10, 20)  # a large network of large images
    assert cpu_size(4096 * MIB) == MicroBatchSize(1, 1)


def test_on_a_gpu_the_size_follows_from_the_free_memory_and_is_halved():
    assert gpu_size(MIB, 4000 * MIB) == MicroBatchSize(1000, 2000)
    assert gpu_size(100 * MIB, 4000 * MIB) == MicroBatchSize(10, 20)  # twice 10 pass at once
    assert gpu_size(100 * MIB, 10 * MIB) == MicroBatchSize(1, 1)
    assert MicroBatchSize(20, 40).halved(2) == MicroBatchSize(5, 10)
    assert MicroBatchSize(1, 1).halved(3) == MicroBatchSize(1, 1)
