import torch
from torch import nn

from densitylab.worker.training.freezing import freeze, train_mode


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2, affine=False))
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 2)


def test_the_named_parameters_are_frozen_alone():
    network = Network()
    freeze(network, ["features.0.weight", "fc.bias"])
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen == ["features.0.weight", "fc.bias"]


def test_without_frozen_parameters_everything_trains():
    network = Network()
    freeze(network, [])
    assert all(parameter.requires_grad for parameter in network.parameters())
    train_mode(network)
    assert all(layer.training for layer in network.modules())


def test_batch_norms_whose_parameters_are_frozen_stay_in_eval_mode():
    network = Network()
    freeze(network, [f"features.{name}" for name, _ in network.features.named_parameters()] + ["norm.weight"])
    train_mode(network)
    assert [layer.training for layer in network.features] == [True, False, True]
    assert network.norm.training  # its bias still trains
    before = network.features[1].running_mean.clone()
    network.features(torch.randn(4, 1, 3, 3) + 5)
    assert torch.equal(network.features[1].running_mean, before)
