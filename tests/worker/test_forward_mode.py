"""Penalties by forward mode against closed forms and against double backward."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.worker.forward_mode import _Tangents
from densitylab.worker.models import cnn, mlp, resnet, vgg, vit
from densitylab.worker.regularizers.input_gradient import input_gradient
from densitylab.worker.regularizers.marginal_density import marginal_density, random_state, replay

NORMS = ("1", "1.5", "2", "4", "inf")
POWERS = (1, 2)
EXACT = 1e-12  # relative to the norm of the whole gradient
PENALTIES = {
    "log density": lambda *args, **params: marginal_density(*args, **params),
    "logit": lambda *args, **params: input_gradient(*args, target="logit", **params),
    "log-probability": lambda *args, **params: input_gradient(*args, target="log_prob", **params),
}
NETWORKS = {
    "mlp": lambda activation, norm: mlp.build(3, (16, 16), 4, hidden=16, activation=activation),
    "cnn": lambda activation, norm: cnn.build(3, (16, 16), 4, width=8, activation=activation, norm=norm),
    "vgg11": lambda activation, norm: vgg.vgg11(3, (16, 16), 4, width=8, activation=activation, norm=norm),
    "resnet18": lambda activation, norm: resnet.resnet18(3, (16, 16), 4, activation=activation, norm=norm),
}


def images(n=3, channels=3, side=16, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, channels, side, side, generator=generator, dtype=dtype).requires_grad_(True)


def labels(n=3):
    return torch.arange(n) % 3


def penalty(model, x, estimator="forward_mode", scalar="log density", **params):
    state = random_state(x.device)
    logits = model(x)
    with replay(state):
        return PENALTIES[scalar](model, x, logits, labels(len(x)), estimator=estimator, **params)


def by_weights(model, total):
    gradients = torch.autograd.grad(total, list(model.parameters()), materialize_grads=True, retain_graph=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def assert_same(model, actual, expected, tolerance=EXACT):
    """Both penalties, and the gradients of their means."""
    torch.testing.assert_close(actual.detach(), expected.detach(), rtol=tolerance, atol=0)
    ours, exact = by_weights(model, actual.mean()), by_weights(model, expected.mean())
    assert exact.norm() > 0
    assert (ours - exact).norm() <= tolerance * exact.norm()


# closed forms


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("p_norm", NORMS)
def test_it_is_the_closed_form_on_a_linear_model(p_norm, power):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    x, weight, order = images(channels=1, side=8), model[1].weight, float(p_norm)
    share = torch.softmax(model(x), dim=1)
    chosen = weight[labels()]
    gradients = {"log density": share @ weight, "logit": chosen, "log-probability": chosen - share @ weight}
    for scalar, gradient in gradients.items():
        actual = penalty(model, x, scalar=scalar, p_norm=p_norm, power=power)
        assert_same(model, actual, gradient.norm(p=order, dim=1) ** power)


class Quadratic(nn.Module):
    """Logits ½ xᵀ A x for each of three classes, so that ∇ log p(x) = ½ (A + Aᵀ) x."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(64, 64, dtype=torch.float64))

    def forward(self, x):
        x = x.flatten(1)
        return (x @ self.matrix * x).sum(dim=1, keepdim=True).expand(-1, 3) / 2


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("p_norm", NORMS)
def test_it_is_the_closed_form_on_a_quadratic_log_density(p_norm, power):
    torch.manual_seed(0)
    model, x = Quadratic(), images(channels=1, side=8)
    gradient = x.detach().flatten(1) @ (model.matrix + model.matrix.T) / 2
    actual = penalty(model, x, p_norm=p_norm, power=power)
    assert_same(model, actual, gradient.norm(p=float(p_norm), dim=1) ** power)


# double backward


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "vgg11", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_it_is_double_backward_for_every_norm_and_power(name, norm, activation):
    if name == "mlp" and norm != "none":
        pytest.skip("an MLP has no normalisation")
    torch.manual_seed(0)
    model, x = NETWORKS[name](activation, norm).double().train(), images()
    for p_norm in NORMS:
        for power in POWERS:
            expected = penalty(model, x, "double_backward", p_norm=p_norm, power=power)
            assert_same(model, penalty(model, x, p_norm=p_norm, power=power), expected)


def test_it_is_double_backward_on_a_residual_network():
    torch.manual_seed(0)
    model, x = NETWORKS["resnet18"]("relu", "batch").double().train(), images()
    assert_same(model, penalty(model, x), penalty(model, x, "double_backward"))


def test_it_is_double_backward_on_a_transformer():
    torch.manual_seed(0)
    model = vit.build(3, (16, 16), 4, patch_size=4, width=32, depth=2, dropout=0.2).double().train()
    x = images()
    torch.manual_seed(1)
    expected = penalty(model, x, "double_backward", p_norm="1", power=1)
    torch.manual_seed(1)
    assert_same(model, penalty(model, x, p_norm="1", power=1), expected)


@pytest.mark.parametrize("scalar", PENALTIES)
def test_every_sample_has_its_own_gradient_where_nothing_mixes_them(scalar):
    torch.manual_seed(0)
    model, x = NETWORKS["cnn"]("gelu", "group").double(), images()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    ours, exact = (
        by_weights(model, weights @ penalty(model, x, estimator, scalar))
        for estimator in ("forward_mode", "double_backward")
    )
    assert (ours - exact).norm() <= EXACT * exact.norm()


LAYERS = {
    "batch norm": lambda: nn.BatchNorm2d(4),
    "batch norm in eval mode": lambda: nn.BatchNorm2d(4).eval(),
    "batch norm without weights": lambda: nn.BatchNorm2d(4, affine=False),
    "batch norm of vectors": lambda: nn.Sequential(nn.Flatten(2), nn.BatchNorm1d(4), nn.Unflatten(2, (6, 6))),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True),
    "instance norm in eval mode": lambda: nn.InstanceNorm2d(4, track_running_stats=True).eval(),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "layer norm": lambda: nn.LayerNorm((4, 6, 6)),
    "layer norm without bias": lambda: nn.LayerNorm(6, bias=False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_normalisations_are_torchs_and_so_are_their_penalties(name):
    torch.manual_seed(0)
    layer = LAYERS[name]()
    with torch.no_grad():
        for value in (*layer.parameters(), *layer.buffers()):
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.Tanh(), nn.Flatten(), nn.Linear(144, 3)).double()
    x = images(side=6)
    assert_same(model, penalty(model, x), penalty(model, x, "double_backward"))
    frozen = copy.deepcopy(model)
    with _Tangents():
        actual = frozen(x)
    torch.testing.assert_close(actual, model(x), rtol=1e-12, atol=1e-12)


class Called(nn.Module):
    """A network that calls this function of torch on its features (N, 4, 6, 6)."""

    def __init__(self, call):
        super().__init__()
        self.call = call
        self.weight = nn.Parameter(torch.rand(4, dtype=torch.float64) + 0.5)
        self.conv, self.head = nn.Conv2d(3, 4, 1).double(), nn.Linear(144, 3).double()

    def forward(self, x):
        x = F.conv2d(input=x, weight=self.conv.weight, bias=self.conv.bias)
        return F.linear(torch.tanh(self.call(x, self.weight)).flatten(1), weight=self.head.weight)


CALLS = {
    "torch.batch_norm": lambda x, w: torch.batch_norm(x, w, w, None, None, True, 0.1, 1e-3, False),
    "torch.instance_norm": lambda x, w: torch.instance_norm(x, w, w, None, None, True, 0.1, 1e-3, False),
    "torch.group_norm": lambda x, w: torch.group_norm(x, 2, w, w, 1e-3, False),
    "torch.layer_norm": lambda x, w: torch.layer_norm(x.transpose(1, 3), [4], w, w, 1e-3, False),
    "glu": lambda x, w: F.glu(torch.cat([x, x.cos()], dim=1), dim=1),
    "by name": lambda x, w: F.layer_norm(
        input=F.group_norm(
            input=F.batch_norm(input=x, running_mean=None, running_var=None, training=True), num_groups=2
        ),
        normalized_shape=(6,),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_that_a_model_calls_itself_have_the_same_penalty(name):
    torch.manual_seed(0)
    model, x = Called(CALLS[name]), images(side=6)
    assert_same(model, penalty(model, x), penalty(model, x, "double_backward"))


# numbers at the edge


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("p_norm", NORMS)
def test_a_zero_gradient_gives_a_zero_penalty_and_the_gradient_of_double_backward(p_norm, power):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.GELU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[1].weight.zero_()
    x = images(channels=1, side=8, dtype=torch.float32)
    values = penalty(model, x, p_norm=p_norm, power=power)
    assert (values == 0).all()
    assert (by_weights(model, values.mean()) == 0).all()


@pytest.mark.parametrize("p_norm", NORMS)
def test_zero_samples_and_equal_features_are_as_in_double_backward(p_norm):
    """A sample with a zero gradient beside others, and several features that attain the ∞-norm."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    with torch.no_grad():
        model[1].weight.copy_(model[1].weight[:, :1].expand(-1, 4).contiguous())
        model[1].bias.zero_()
    x = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]]], [[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
    x.requires_grad_(True)
    for power in POWERS:
        values, expected = (
            penalty(model, x, estimator, p_norm=p_norm, power=power)
            for estimator in ("forward_mode", "double_backward")
        )
        assert torch.equal(values, expected) and values[0] == 0 < values[1]
        torch.testing.assert_close(
            by_weights(model, values.mean()), by_weights(model, expected.mean()), rtol=1e-12, atol=1e-15
        )


class Mixture(nn.Module):
    """A linear map whose weights and bias depend on the image."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Parameter(torch.randn(5, 3, 64, dtype=torch.float64))
        self.gate = nn.Linear(64, 5).double()

    def forward(self, x):
        x = x.flatten(1)
        gates = torch.softmax(self.gate(x), dim=1)
        weights = torch.einsum("nm,mki->nki", gates, self.maps)
        return torch.stack([F.linear(image, each, each[:, 0]) for image, each in zip(x, weights, strict=True)])


def test_weights_that_depend_on_the_image_have_their_tangent_too():
    torch.manual_seed(0)
    model, x = Mixture(), images(channels=1, side=8)
    assert_same(model, penalty(model, x), penalty(model, x, "double_backward"))


def test_values_are_those_of_double_backward_bit_for_bit_also_without_a_graph():
    torch.manual_seed(0)
    model, x = NETWORKS["cnn"]("relu", "batch").train(), images(dtype=torch.float32)
    logits = model(x)
    exact = marginal_density(model, x, logits, labels(), estimator="double_backward")
    replaced = []
    ours = marginal_density(model, x, logits, labels(), estimator="forward_mode", replace_logits=replaced.append)
    assert torch.equal(ours, exact) and ours.requires_grad
    torch.testing.assert_close(replaced[0], logits)
    with torch.no_grad():
        silent = marginal_density(model, x, logits, labels(), estimator="forward_mode", replace_logits=replaced.append)
    assert torch.equal(silent, exact) and not silent.requires_grad and replaced[1] is logits


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_under_autocast_it_is_as_near_to_float32_as_double_backward(half, norm):
    torch.manual_seed(0)
    model, x = NETWORKS["cnn"]("gelu", norm).train(), images(n=16, dtype=torch.float32)
    scale = 2.0**12  # of the loss, as GradScaler does
    exact = by_weights(model, penalty(model, x, "double_backward").mean())
    errors = {}
    for estimator in ("double_backward", "forward_mode"):
        with torch.autocast("cpu", dtype=half):
            values = penalty(model, x, estimator)
        assert values.dtype == torch.float32
        errors[estimator] = (by_weights(model, values.mean() * scale) / scale - exact).norm() / exact.norm()
    assert errors["forward_mode"] < 2 * errors["double_backward"] + 1e-3 and errors["double_backward"] < 0.1


def test_gradients_too_small_for_float16_do_not_vanish():
    torch.manual_seed(0)
    model, x = NETWORKS["mlp"]("gelu", "none"), images(n=16, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.02)
    expected = penalty(model, x, "double_backward", power=1)
    assert expected.max() / 768**0.5 < 6e-8  # of one pixel, float16's smallest number
    with torch.autocast("cpu", dtype=torch.float16):
        values = penalty(model, x, power=1)
    torch.testing.assert_close(values, expected, rtol=0.02, atol=0)
    ours, exact = by_weights(model, values.mean() * 2.0**16), by_weights(model, expected.mean() * 2.0**16)
    assert (ours - exact).norm() < 0.1 * exact.norm()


# refusals and compilation


@pytest.mark.parametrize("scalar", PENALTIES)
def test_fresh_dropout_masks_are_refused(scalar):
    model = mlp.build(3, (16, 16), 4, dropout=0.5).train()
    x = images(dtype=torch.float32)
    with pytest.raises(RuntimeError, match="replay"):
        PENALTIES[scalar](model, x, model(x), labels(), estimator="forward_mode")


def test_another_estimator_of_an_input_gradient_is_refused():
    model, x = mlp.build(3, (16, 16), 4), images(dtype=torch.float32)
    with pytest.raises(ValueError, match="estimator must be one of double_backward, forward_mode"):
        input_gradient(model, x, model(x), labels(), estimator="finite_difference")


@pytest.mark.slow  # tracing takes half a minute
@pytest.mark.parametrize(
    ("network", "norm"), [("mlp", "none"), ("cnn", "batch"), ("vgg11", "group"), ("resnet18", "batch")]
)
def test_a_compiled_model_has_the_same_penalty_and_is_compiled_once(network, norm):
    torch.manual_seed(0)
    model = NETWORKS[network]("gelu", norm).train()
    compiled = torch.compile(model, backend="aot_eager", dynamic=False)
    x = images(dtype=torch.float32)
    for scalar in PENALTIES:
        expected = by_weights(model, penalty(model, x, "double_backward", scalar).mean())
        actual = by_weights(model, penalty(compiled, x, scalar=scalar).mean())
        assert (actual - expected).norm() < 1e-5 * expected.norm()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(2):
            by_weights(model, F.relu(penalty(compiled, images(dtype=torch.float32))).mean())
