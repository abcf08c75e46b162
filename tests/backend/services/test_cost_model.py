"""The costs that catalog entries state against the real networks, counted by torch."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from densitylab.backend.services.estimates import cost_model
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, ModelEntry, RegularizerEntry, network_cost
from densitylab.worker import resolve

CATALOG = Catalog.built_in()

SHAPES = [(1, 56, 28), (3, 32, 32)]


def test_a_stated_cost_of_a_penalty_is_at_least_that_of_a_plain_step():
    stated = [entry for entry in CATALOG.all(RegularizerEntry) if entry.cost is not None]
    assert len(stated) >= 8
    for entry in stated:
        _, params = specs.complete_params(CATALOG, "regularizer", entry.key, {}, "", [])
        assert cost_model.passes(entry, params, 1.0) >= cost_model.passes(entry, params, 0.0) == 3
        assert cost_model.copies(entry, params, 1.0) >= cost_model.copies(entry, params, 0.0) == 1.5


def test_a_cost_that_is_not_known_is_none():
    unknown = dataclasses.replace(CATALOG.find(RegularizerEntry, "jacobian"), cost=None)
    assert cost_model.passes(unknown, {"every": 1}, 1.0) is None and cost_model.copies(unknown, {}, 1.0) is None
    assert cost_model.passes(unknown, {"every": 1}, 0.0) == 3 and cost_model.copies(unknown, {}, 0.0) == 1.5
    blockmnist = CATALOG.find(DatasetEntry, "blockmnist")
    assert network_cost(CATALOG.find(ModelEntry, "timm"), {"name": "resnet18"}, blockmnist) is None
    without_size = dataclasses.replace(blockmnist, image_size=None)
    assert network_cost(CATALOG.find(ModelEntry, "mlp"), {"hidden": 8, "layers": 1}, without_size) is None


@pytest.mark.parametrize("key", [entry.key for entry in CATALOG.all(ModelEntry) if entry.cost is not None])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.few(8)
def test_the_stated_cost_is_that_of_the_network(key: str, shape: tuple[int, int, int]):
    torch.set_num_threads(1)
    channels, *size = shape
    entry = dataclasses.replace(
        CATALOG.find("dataset", "blockmnist"),
        channels=channels,
        image_size=tuple(size),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )
    model_entry = CATALOG.find(ModelEntry, key)
    _, params = specs.complete_params(CATALOG, "model", key, {}, "", [])
    divisor = params.get(model_entry.side_multiple_of or "", 1)
    if min(size) < (model_entry.min_image_size or 1) or any(side % divisor for side in size):
        pytest.skip("the model takes no images of this size")
    model = resolve.build_model(CATALOG, key, params, entry)
    told = network_cost(CATALOG.find(ModelEntry, key), params, entry)
    x = torch.rand(2, *shape)
    kept: dict[int, int] = {}
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    held = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor)  # so that no address is used twice
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.numel() // len(x)
        return tensor

    with (
        FlopCounterMode(display=False) as counted,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        model(x)
    assert told.parameters == pytest.approx(sum(item.numel() for item in model.parameters()), rel=0.03)
    assert told.multiplications == pytest.approx(counted.get_total_flops() / 2 / len(x), rel=0.1)
    assert told.activations == pytest.approx(sum(kept.values()), rel=0.25)


def test_narrow_networks_cost_the_time_of_their_activations():
    """The widths 8, 16, 32 and 64 took 37.6, 71.6, 228 and 589 ms for a step of 100 images, though the multiplications
    grow fourfold each time (benchmarks/step_estimates.py)."""
    dataset = CATALOG.find(DatasetEntry, "textured_digits")
    _, params = specs.complete_params(CATALOG, "model", "cnn", {"activation": "relu"}, "", [])
    entry = CATALOG.find(ModelEntry, "cnn")
    for width, measured in ((8, 0.0376), (16, 0.0716), (32, 0.228), (64, 0.589)):
        network = network_cost(entry, {**params, "width": width}, dataset)
        assert 0.6 < cost_model.step_seconds(network, 3, 100, 1) / measured < 1.7
    assert cost_model.pass_seconds(network, 2) == pytest.approx(
        (network.multiplications / 60e9 + network.activations * 6e-9) / 2
    )
