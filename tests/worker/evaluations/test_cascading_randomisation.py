"""Cascading randomisation replaces layers from the last to the first, and leaves the model alone."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.worker.attributions.gradient import gradient
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.cascading_randomisation import MEASURES, cascading_randomisation
from densitylab.worker.evaluations.similarity import cosine
from densitylab.worker.resolve import build_model

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 3))
    images = torch.randint(0, 256, (220, 1, 8, 4), dtype=torch.uint8)
    return model.eval(), Dataset(images, torch.arange(220) % 3)


def fresh(model):
    torch.manual_seed(1)
    other = copy.deepcopy(model)
    for layer in other.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return other


def test_each_point_is_the_map_with_that_many_random_layers(small):
    model, data = small
    before = copy.deepcopy(model.state_dict())
    other = fresh(model)
    result = cascading_randomisation(
        model, data, attribution=gradient, samples=None, fresh_model=lambda: other, generator=generator(), **HOOKS
    )
    x = data.images / 255
    target = model(x).argmax(1)
    expected, changed = [], copy.deepcopy(model)
    for layer in (None, 5, 3, 1):
        if layer is not None:
            changed[layer].load_state_dict(other[layer].state_dict())
        expected.append(cosine(gradient(model, x, target), gradient(changed, x, target)).mean().item())
    curve = result.curves["cosine"]
    assert curve.x == pytest.approx([0, 1 / 3, 2 / 3, 1]) and curve.y == pytest.approx(expected, rel=1e-5)
    assert curve.y[0] == pytest.approx(1) and curve.y[3] < 0.9
    assert result.values["layers"].value == 3 and result.values["cosine"].value == curve.y[3]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_control_is_at_chance(small):
    model, data = small
    result = cascading_randomisation(
        model, data, attribution=gradient, fresh_model=lambda: fresh(model), generator=generator(), **HOOKS
    )
    for name, chance in (("cosine", 0.0), ("spearman", 0.0), ("top_k", 0.1)):
        value = result.values[f"{name}_chance"]
        assert value.n == 200 and abs(value.value - chance) < 0.05, name
        assert set(result.curves[f"{name}_chance"].y) == {value.value}


def test_a_map_that_shows_only_the_image_stays_alike(small):
    model, data = small

    def of_the_image(model, x, target):
        return x - 0.5

    result = cascading_randomisation(
        model, data, attribution=of_the_image, fresh_model=lambda: fresh(model), generator=generator(), **HOOKS
    )
    assert all(result.curves[name].y == pytest.approx([1] * 4) for name in MEASURES)


def test_several_layers_of_a_deep_network_become_random_at_once():
    entry = DatasetEntry("grey", "Grey", "", "", num_classes=3, channels=1, image_size=(16, 16))
    torch.manual_seed(0)
    model = build_model(Catalog.built_in(), "resnet18", {}, entry).eval()
    torch.manual_seed(1)
    other = build_model(Catalog.built_in(), "resnet18", {}, entry).eval()
    data = Dataset(torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8), torch.arange(4) % 3)
    seen = []

    def kept(model, x, target):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return gradient(model, x, target)

    result = cascading_randomisation(
        model, data, attribution=kept, stages=4, fresh_model=lambda: other, generator=generator(), **HOOKS
    )
    assert len(result.curves["ssim"].x) == 5 and result.curves["ssim"].x[-1] == 1
    counts = [sum(torch.equal(state[name], value) for name, value in other.state_dict().items()) for state in seen]
    assert counts[1:] == sorted(counts[1:]) and counts[-1] == len(other.state_dict())
    assert not torch.equal(seen[2]["1.fc.weight"], model.state_dict()["1.fc.weight"])
    assert torch.equal(seen[2]["1.conv1.weight"], model.state_dict()["1.conv1.weight"])
    assert np.isfinite(result.arrays["cosine"]).all()
