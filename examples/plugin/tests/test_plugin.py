"""The plug-in's own test."""

import torch
from densitylab_example.catalog import entries
from densitylab_example.elastic_net import elastic_net


def test_the_penalty_of_a_linear_model_is_that_of_softmax_times_weights():
    model = torch.nn.Linear(4, 3).double()
    x, y = torch.rand(5, 4, dtype=torch.double, requires_grad=True), torch.zeros(5, dtype=torch.long)
    gradient = (model(x).softmax(dim=1) @ model.weight).detach()
    expected = 0.3 * gradient.abs().sum(1) + 0.7 * gradient.square().sum(1)
    assert torch.allclose(elastic_net(model, x, model(x), y, alpha=0.3), expected)
    assert [entry.key for entry in entries()] == ["elastic_net", "stripes", "cifar_resnet", "noise_accuracy"]
