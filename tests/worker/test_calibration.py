"""The table of costs, held to the real networks: parameters and multiplications counted by torch."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from backend import calibration
from backend.shared import specs
from backend.shared.catalog import CATALOG, find
from worker import resolve

SHAPES = [(1, 56, 28), (3, 32, 32)]


def test_every_choice_of_the_catalog_has_a_line():
    models = {entry.key for entry in CATALOG["model"]}
    assert models == set(calibration.NETWORKS) | calibration.UNKNOWN_NETWORKS
    assert {entry.key for entry in CATALOG["regularizer"]} == set(calibration.PENALTIES)
    for entry in CATALOG["regularizer"]:
        _, params = specs.complete_params("regularizer", entry.key, {}, "", [])
        assert calibration.passes(entry.key, params, 1.0) >= calibration.passes(entry.key, params, 0.0) == 3
        assert calibration.copies(entry.key, params, 1.0) >= calibration.copies(entry.key, params, 0.0) == 1.5


@pytest.mark.parametrize("key", sorted(calibration.NETWORKS))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_table_is_that_of_the_networks(key: str, shape: tuple[int, int, int]):
    torch.set_num_threads(1)
    channels, *size = shape
    entry = dataclasses.replace(find("dataset", "blockmnist"), channels=channels, image_size=tuple(size),
                                mean=(0.0,) * channels, std=(1.0,) * channels)
    _, params = specs.complete_params("model", key, {}, "", [])
    model = resolve.build_model(key, params, entry)
    told = calibration.network(key, params, shape, 10)
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
