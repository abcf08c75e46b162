"""Models: shapes, options, Normalise as first layer, and heads that raise an error."""

import pytest
import torch
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.models import cnn, mlp
from densitylab.worker.models.normalise import Normalise
from densitylab.worker.resolve import NormalisedLogits, build_model, check_head

CATALOG = Catalog.built_in()

BLOCKMNIST = CATALOG.find("dataset", "blockmnist")


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "softplus"])
def test_mlp_gives_logits_of_the_requested_size(activation):
    model = mlp.build(3, (5, 7), 4, hidden=9, layers=3, activation=activation, dropout=0.1)
    assert model(torch.rand(2, 3, 5, 7)).shape == (2, 4)
    assert [layer.out_features for layer in model if isinstance(layer, nn.Linear)] == [9, 9, 9, 4]
    assert sum(isinstance(layer, nn.Dropout) for layer in model) == 3


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("image_size", [(8, 8), (56, 28), (9, 13)])
def test_cnn_gives_logits_for_any_image_size(image_size, pooling, norm):
    model = cnn.build(3, image_size, 5, width=6, pooling=pooling, norm=norm)
    assert model(torch.rand(2, 3, *image_size)).shape == (2, 5)


@pytest.mark.parametrize(
    ("build", "option"),
    [(mlp.build, "activation"), (cnn.build, "activation"), (cnn.build, "pooling"), (cnn.build, "norm")],
)
def test_unknown_options_are_refused(build, option):
    with pytest.raises(ValueError, match=f"{option} must be"):
        build(1, (8, 8), 3, **{option: "other"})


def test_normalise_is_the_first_layer_and_moves_with_the_model():
    model = build_model(CATALOG, "mlp", {"hidden": 8}, BLOCKMNIST)
    assert isinstance(model[0], Normalise)
    x = torch.rand(2, 1, 56, 28)
    torch.testing.assert_close(model[0](x), (x - BLOCKMNIST.mean[0]) / BLOCKMNIST.std[0])
    torch.testing.assert_close(model(x), model[1]((x - BLOCKMNIST.mean[0]) / BLOCKMNIST.std[0]))
    assert {"0.mean", "0.std"} <= model.state_dict().keys()


@pytest.mark.parametrize("wrong", [((0.5,), (0.0,)), ((0.5, 0.5), (1.0,))])
def test_normalise_refuses_wrong_statistics(wrong):
    with pytest.raises(ValueError, match="std above 0"):
        Normalise(*wrong)


def test_normalise_treats_channels_separately():
    x = torch.rand(2, 3, 4, 4)
    actual = Normalise((0.1, 0.2, 0.3), (1.0, 2.0, 4.0))(x)
    torch.testing.assert_close(actual[:, 2], (x[:, 2] - 0.3) / 4)


class ShiftedLogSoftmax(nn.Module):
    def forward(self, logits):
        return torch.log_softmax(logits, dim=1) + 7


@pytest.mark.parametrize("head", [nn.LogSoftmax(dim=1), nn.Softmax(dim=1), ShiftedLogSoftmax()])
@pytest.mark.parametrize("weights", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_heads_with_normalised_logits_are_refused(head, weights, classes):
    torch.manual_seed(0)
    body = mlp.build(1, (8, 8), classes, hidden=16)
    with torch.no_grad():
        body[-1].weight.mul_(weights)
    check_head(body, 1, (8, 8))
    with pytest.raises(NormalisedLogits, match="plain linear layer"):
        check_head(nn.Sequential(body, head), 1, (8, 8))


def test_the_check_leaves_mode_buffers_and_random_numbers_alone():
    torch.manual_seed(0)
    model = cnn.build(1, (8, 8), 3, width=4, norm="batch", dropout=0.5).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    check_head(model, 1, (8, 8))
    assert model.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_heads_that_start_at_zero_or_are_centred_are_not_refused():
    torch.manual_seed(0)
    body = mlp.build(1, (8, 8), 3, hidden=16)

    class Centred(nn.Module):
        def forward(self, logits):
            return logits - logits.mean(dim=1, keepdim=True)

    check_head(nn.Sequential(body, Centred()), 1, (8, 8))
    with torch.no_grad():
        body[-1].weight.zero_()
        body[-1].bias.zero_()
    check_head(body, 1, (8, 8))
