"""Second derivatives of convolutions and batch norms equal torch's."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from benchmarks.steps import Multiplications
from densitylab.worker.models import cnn
from densitylab.worker.training import double_backward
from densitylab.worker.training.double_backward import fast_double_backward

CPU = torch.device("cpu")
LAYERS = {  # size of the input and layer
    "convolution": ((2, 3, 7, 6), lambda: nn.Conv2d(3, 4, 3, padding=1)),
    "strided": ((2, 3, 8, 7), lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1)),
    "pointwise": ((2, 4, 5, 5), lambda: nn.Conv2d(4, 3, 1, stride=2, bias=False)),
    "dilated": ((1, 2, 9, 9), lambda: nn.Conv2d(2, 2, (3, 2), dilation=2)),
    "grouped": ((2, 4, 6, 6), lambda: nn.Conv2d(4, 6, 3, groups=2)),
    "depthwise": ((2, 4, 6, 6), lambda: nn.Conv2d(4, 4, 3, groups=4, padding=2)),
    "transposed": ((2, 3, 4, 4), lambda: nn.ConvTranspose2d(3, 2, 3, stride=2, output_padding=1)),
    "batch norm": ((3, 4, 5, 2), lambda: _norm(nn.BatchNorm2d(4))),
    "batch norm of vectors": ((6, 3), lambda: _norm(nn.BatchNorm1d(3))),
    "batch norm without weights": ((3, 4, 5, 2), lambda: nn.BatchNorm2d(4, affine=False)),
    "batch norm without running statistics": (
        (3, 4, 5, 2),
        lambda: _norm(nn.BatchNorm2d(4, track_running_stats=False)),
    ),
    "batch norm in eval mode": ((3, 4, 5, 2), lambda: _norm(nn.BatchNorm2d(4)).eval()),
}


def _norm(layer):
    with torch.no_grad():
        for value in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            if value is not None:
                value.uniform_(0.5, 1.5)
    return layer


def layer_and_input(name):
    torch.manual_seed(0)
    size, make = LAYERS[name]
    return make().double(), (3 * torch.rand(size, dtype=torch.float64) + 1).requires_grad_()


def penalised(layer, x):
    """Gradients by x and all weights of a loss with a penalty on the input gradient."""
    out = layer(x).tanh()
    (gradient,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
    return torch.autograd.grad(gradient.pow(2).sum() + out.sum(), [x, *layer.parameters()])


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_of_a_penalty_are_those_of_torch(name):
    layer, x = layer_and_input(name)
    expected = penalised(layer, x)
    with fast_double_backward(CPU):
        actual = penalised(layer, x)
    for one, two in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.few(4)
def test_all_first_and_second_derivatives_are_those_of_finite_differences(name):
    layer, x = layer_and_input(name)
    parameters = tuple(layer.parameters())

    def of(x, *values):
        return torch.func.functional_call(layer, dict(zip(("weight", "bias"), values, strict=False)), x).sin()

    with fast_double_backward(CPU):
        assert torch.autograd.gradcheck(of, (x, *parameters))
        assert torch.autograd.gradgradcheck(of, (x, *parameters))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("convolution", double_backward._OfConvolution),
        ("batch norm", double_backward._OfBatchNorm),
    ],
)
def test_it_applies_only_inside_the_block_and_only_to_second_derivatives(monkeypatch, name, kind):
    layer, x = layer_and_input(name)
    taken = []
    monkeypatch.setattr(kind, "apply", lambda *args: taken.append(1) or (None, None, None))
    with fast_double_backward(CPU):
        layer(x).sum().backward()
    assert taken == []
    for where, times in ((nullcontext(), 0), (fast_double_backward(CPU), 1), (nullcontext(), 1)):
        with where:
            torch.autograd.grad(layer(x).sum(), x, create_graph=True, allow_unused=True)
        assert len(taken) == times


def test_a_penalty_needs_no_more_multiplications_than_with_torch():
    model = cnn.build(1, (8, 8), 3, width=4, activation="gelu", pooling="average")
    x = torch.rand(2, 1, 8, 8).requires_grad_()

    def multiplications():
        with Multiplications() as counter:
            total = model(x).logsumexp(1).sum()
            (gradient,) = torch.autograd.grad(total, x, create_graph=True)
            (total + gradient.pow(2).sum()).backward(inputs=list(model.parameters()))
        return counter.total

    expected = multiplications()
    with fast_double_backward(CPU):
        assert multiplications() <= expected
