import pytest
import torch
from torch import nn

from densitylab.worker.training.warm_start import UnfitWeights, head_of, load_fitting, scale_learning_rate


def network(classes=10, width=8):
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, classes))


class Registered(nn.Module):
    """The head is registered first and called last; dropout follows it."""

    def __init__(self):
        super().__init__()
        self.head, self.body, self.drop = nn.Linear(5, 3), nn.Linear(4, 5), nn.Dropout()

    def forward(self, x):
        return self.drop(self.head(self.body(x)))


def test_the_head_is_the_last_linear_layer_that_is_called():
    model = Registered()
    assert head_of(model, model, torch.zeros(2, 4)) == "head"
    assert model.training and model.drop.training
    assert head_of(nn.Sequential(nn.Flatten(), model), model, torch.zeros(2, 2, 2)) == "head"
    convolutional = nn.Sequential(nn.Conv2d(1, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert head_of(convolutional, convolutional, torch.zeros(2, 1, 4, 4)) == "0"
    assert head_of(nn.Flatten(), nn.Flatten(), torch.zeros(2, 1)) is None


def test_all_that_fits_is_loaded():
    source, target = network(), network()
    start = load_fitting(target, source.state_dict(), head="3")
    assert start.not_loaded == [] and len(start.loaded) == 9
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())


def test_half_precision_is_widened():
    source, target = network().half(), network()
    load_fitting(target, source.state_dict(), head="3")
    assert target[0].weight.dtype == torch.float32 and torch.equal(target[0].weight, source[0].weight.float())


@pytest.mark.parametrize("choice", ["auto", "new"])
def test_a_head_of_another_number_of_classes_is_left_as_drawn(choice):
    source, target = network(10), network(2)
    before = target[3].weight.clone()
    start = load_fitting(target, source.state_dict(), head="3", choice=choice)
    assert start.not_loaded == ["3.weight", "3.bias"] and torch.equal(target[3].weight, before)
    assert torch.equal(target[0].weight, source[0].weight)


def test_a_new_head_of_the_same_shape_is_left_as_drawn():
    source, target = network(), network()
    before = target[3].bias.clone()
    assert load_fitting(target, source.state_dict(), head="3", choice="new").not_loaded == ["3.weight", "3.bias"]
    assert torch.equal(target[3].bias, before)


def test_a_head_that_has_to_fit_is_refused_with_both_shapes():
    with pytest.raises(UnfitWeights, match=r"the head does not fit \(3.weight is 2×8 here and 10×8 there\)"):
        load_fitting(network(2), network(10).state_dict(), head="3", choice="keep")


def test_another_network_is_refused_with_the_nearest_names_and_loads_nothing():
    target = network()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    saved = {f"layer.{name}": value for name, value in network().state_dict().items()}
    with pytest.raises(UnfitWeights, match=r"only 0 of 6 .* 0.weight 8×4 is missing, the nearest is layer.0.weight"):
        load_fitting(target, saved, head="3")
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in before.items())


def test_a_part_of_an_optimizer_gets_another_learning_rate():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scale_learning_rate(optimizer, model[3].parameters(), 5)
    body, head = optimizer.param_groups
    assert (body["lr"], head["lr"], head["momentum"]) == (0.1, 0.5, 0.9)
    assert len(body["params"]) == 4 and [id(item) for item in head["params"]] == [
        id(item) for item in model[3].parameters()
    ]
