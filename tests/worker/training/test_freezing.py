import pytest
import torch
from torch import nn

from densitylab.worker.training.freezing import freeze, train_mode


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2, affine=False))
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 2)


@pytest.mark.parametrize("pattern", ["features", "features.*", "feat*"])
def test_a_pattern_matches_names_and_modules(pattern):
    network = Network()
    names = ["features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"]
    assert freeze(network, [pattern]) == names
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == names


def test_without_patterns_nothing_is_frozen():
    network = Network()
    assert freeze(network, []) == [] and all(parameter.requires_grad for parameter in network.parameters())
    train_mode(network)
    assert all(layer.training for layer in network.modules())


def test_batch_norms_whose_parameters_are_frozen_stay_in_eval_mode():
    network = Network()
    freeze(network, ["features", "norm.weight"])
    train_mode(network)
    assert [layer.training for layer in network.features] == [True, False, True]
    assert network.norm.training  # its bias still trains
    before = network.features[1].running_mean.clone()
    network.features(torch.randn(4, 1, 3, 3) + 5)
    assert torch.equal(network.features[1].running_mean, before)


def test_a_pattern_without_a_match_names_the_parameters():
    with pytest.raises(ValueError, match=r"pattern 'layer1'; its parameters are features.0.weight, .*"):
        freeze(Network(), ["fc", "layer1"])


def test_everything_cannot_be_frozen():
    network = Network()
    with pytest.raises(ValueError, match="leave at least its head to train"):
        freeze(network, ["*"])
    assert all(parameter.requires_grad for parameter in network.parameters())
