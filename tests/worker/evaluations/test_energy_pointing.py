"""The energy pointing game equals its definition, and 1 or chance where that is known."""

import numpy as np
import pytest
import torch
from torch import nn

from densitylab.worker.attributions.gradient import gradient
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.energy_pointing import energy_pointing

HOOKS = {
    "fresh_model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(96, 3)),
    "generator": torch.Generator(),
    "progress": lambda fraction: None,
    "should_stop": lambda: False,
}


@pytest.fixture
def small():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (300, 3, 8, 4), dtype=torch.uint8)
    masks = torch.rand(300, 1, 8, 4) < 0.7
    model = nn.Sequential(nn.Flatten(), nn.Linear(96, 20), nn.GELU(), nn.Linear(20, 3)).eval()
    return model, Dataset(images, torch.arange(300) % 3, masks)


def test_it_equals_a_plain_computation(small):
    model, data = small
    result = energy_pointing(model, data, attribution=gradient, **HOOKS)
    energy, hits = [], []
    for image, label, mask in zip(data.images, data.labels.tolist(), data.masks, strict=True):
        x = (image[None] / 255).requires_grad_()
        (a,) = torch.autograd.grad(model(x)[0, label], x)
        a = a[0].double().sum(0).numpy()
        positive, on_object = np.where(a > 0, a, 0), ~mask[0].numpy()
        energy.append(positive[on_object].sum() / positive.sum())
        hits.append(on_object[np.unravel_index(a.argmax(), a.shape)])
    value = result.values["energy"]
    assert value.value == pytest.approx(np.mean(energy), rel=1e-5) and value.low < value.value < value.high
    assert result.values["hits"].value == np.mean(hits) and result.values["hits"].n == 300
    assert result.values["chance"].value == pytest.approx(1 - data.masks.double().mean().item())
    assert result.arrays["energy"] == pytest.approx(energy, rel=1e-4) and result.flags == []


def test_maps_on_the_object_reach_one_and_random_maps_chance(small):
    model, data = small
    drawn = torch.Generator().manual_seed(0)
    of_image = {image.numpy().tobytes(): mask for image, mask in zip(data.images, data.masks, strict=True)}

    def perfect(model, x, target):
        masks = torch.stack([of_image[(image * 255).round().byte().numpy().tobytes()] for image in x])
        return (~masks).float().expand_as(x) - 2.0 * masks

    def random(model, x, target):
        return torch.randn(x.shape, generator=drawn)

    values = energy_pointing(model, data, attribution=perfect, **HOOKS).values
    assert values["energy"].value == 1 and values["hits"].value == 1
    values = energy_pointing(model, data, attribution=random, **HOOKS).values
    assert values["energy"].low < values["chance"].value < values["energy"].high
    assert values["hits"].low < values["chance"].value < values["hits"].high
    for control in ("energy_random_map", "hits_random_map"):
        assert values[control].low < values["chance"].value < values[control].high


def test_the_untrained_networks_maps_are_the_control(small):
    model, data = small
    result = energy_pointing(model, data, attribution=gradient, **{**HOOKS, "fresh_model": lambda: model})
    assert result.values["energy_random_weights"].value == result.values["energy"].value
    assert np.array_equal(result.arrays["hit_random_weights"], result.arrays["hit"])


def test_maps_without_a_positive_part_are_left_out(small):
    model, data = small

    def negative(model, x, target):
        maps = -torch.ones_like(x)
        maps[:100] = 1
        return maps

    result = energy_pointing(model, data, attribution=negative, samples=150, **HOOKS)
    assert result.values["energy"].n == 100 and np.isnan(result.arrays["hit"][100:]).all()
    assert [flag.key for flag in result.flags] == ["few_samples", "zero_attribution"]
    with pytest.raises(ValueError, match="mask"):
        energy_pointing(model, Dataset(data.images, data.labels), attribution=gradient, **HOOKS)
