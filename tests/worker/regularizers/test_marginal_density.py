"""The penalty against closed forms, against torch.func, and its estimators against each other."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from densitylab.worker.models import cnn, mlp
from densitylab.worker.regularizers import marginal_density as module
from densitylab.worker.regularizers.marginal_density import log_density, marginal_density, random_state, replay
from densitylab.worker.training.gradient_norms import gradient_norms

ESTIMATORS = ("double_backward", "forward_mode", "finite_difference", "random_projection")
TAYLOR = ESTIMATORS[2:]
SMOOTH = ("gelu", "silu", "softplus")
NORMS = ("1", "1.5", "2", "inf")


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=4, channels=1, size=8, dtype=torch.float64):
    return torch.rand(n, channels, size, size, generator=noise(1), dtype=dtype).requires_grad_(True)


def labels(n=4, classes=3):
    return torch.arange(n) % classes


def penalty(model, x, **params):
    return marginal_density(model, x, model(x), labels(len(x)), generator=noise(), **params)


def parameter_gradient(model, values):
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(values.mean(), parameters, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, gradients, strict=True)]
    )


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


def smooth_mlp(activation, dtype=torch.float64):
    return mlp.build(1, (8, 8), 3, hidden=32, activation=activation).to(dtype).eval()


def smooth_cnn(activation, pooling="average", dtype=torch.float64):
    return cnn.build(1, (8, 8), 3, width=4, activation=activation, pooling=pooling).to(dtype).eval()


def scaled(model, factor=3.0):
    """Larger weights, so that the networks are more curved and a wrong gradient is visible."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    return model


# closed forms


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("p_norm", ["1", "1.5", "2", "4", "inf"])
def test_double_backward_is_the_closed_form_on_a_linear_model(p_norm, power):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    x = images()
    weight = model[1].weight
    expected = (torch.softmax(model(x), dim=1) @ weight).norm(p=float(p_norm), dim=1) ** power
    actual = penalty(model, x, p_norm=p_norm, power=power)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        parameter_gradient(model, actual), parameter_gradient(model, expected), rtol=1e-9, atol=1e-9
    )


def test_a_high_norm_of_small_gradients_is_no_zero():
    weight = 1e-6 * torch.randn(3, 2 * 2, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    model[1].weight.data = weight
    x = torch.rand(5, 1, 2, 2).requires_grad_(True)
    expected = (1e6 * torch.softmax(model(x), dim=1) @ weight).double().norm(p=60, dim=1) / 1e6
    torch.testing.assert_close(penalty(model, x, p_norm="60", power=1).double(), expected, rtol=1e-5, atol=0)
    for wrong in ("0.5", "nan", "two", "-inf"):
        with pytest.raises(ValueError, match="number of at least 1"):
            penalty(model, x, p_norm=wrong)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("p_norm", ["1", "1.5", "2", "4", "inf"])
def test_finite_difference_tends_to_the_closed_form(p_norm, power):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    x = images()
    expected = (torch.softmax(model(x), dim=1) @ model[1].weight).norm(p=float(p_norm), dim=1) ** power
    errors = [
        ((penalty(model, x, estimator="finite_difference", p_norm=p_norm, power=power, h=h) - expected) / expected)
        .abs()
        .max()
        .item()
        for h in (1e-1, 1e-2, 1e-3)
    ]
    assert errors[2] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.2)  # a forward difference: the error is of order h
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("p_norm", ["1", "2", "inf"])
def test_finite_difference_is_exact_where_log_p_is_linear(p_norm, power):
    # both classes have the same weights: log p(x) = w·x + log 2, whatever the step
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False)).double()
    with torch.no_grad():
        model[1].weight[1] = model[1].weight[0]
    actual = penalty(model, images(), estimator="finite_difference", p_norm=p_norm, power=power)
    expected = model[1].weight[0].norm(p=float(p_norm)) ** power
    torch.testing.assert_close(actual, expected.expand(4), rtol=1e-9, atol=1e-9)


def test_random_projection_is_unbiased_on_a_linear_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    x = images()
    expected = (torch.softmax(model(x), dim=1) @ model[1].weight).square().sum(dim=1).mean().item()
    draws = torch.stack(
        [
            marginal_density(model, x, model(x), labels(), estimator="random_projection", h=1e-3, generator=noise(seed))
            .mean()
            .detach()
            for seed in range(400)
        ]
    )
    assert abs(draws.mean().item() - expected) < 4 * draws.std().item() / 400**0.5
    # relative s.d. √2 per sample, so √2/√4 = 0.71 for the mean of four
    assert draws.std().item() / expected == pytest.approx(0.71, rel=0.2)


@pytest.mark.parametrize("p_norm", ["1", "1.5", "2", "4", "inf"])
@pytest.mark.parametrize("build", [smooth_mlp, smooth_cnn])
def test_double_backward_agrees_with_torch_func(build, p_norm):
    model = scaled(build("gelu"))
    x = images()
    parameters = dict(model.named_parameters())

    def mean_norm(weights):
        def density(image):
            return torch.func.functional_call(model, weights, (image.unsqueeze(0),)).logsumexp(dim=1).squeeze()

        gradients = torch.func.vmap(torch.func.grad(density))(x.detach())
        return gradients.flatten(1).norm(p=float(p_norm), dim=1).square().mean()

    gradients, value = torch.func.grad_and_value(mean_norm)(parameters)
    actual = penalty(model, x, p_norm=p_norm)
    torch.testing.assert_close(actual.mean(), value, rtol=1e-10, atol=0)
    expected = torch.cat([gradients[name].flatten() for name in parameters])
    torch.testing.assert_close(parameter_gradient(model, actual), expected, rtol=1e-8, atol=1e-12)


def test_the_gradient_of_log_density_is_that_of_the_logit_less_that_of_the_log_probability():
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        for model in (scaled(smooth_mlp("relu", dtype)), scaled(smooth_cnn("relu", "max", dtype))):
            x = images(dtype=dtype)
            logits = model(x)
            (marginal,) = torch.autograd.grad(log_density(logits).sum(), x, retain_graph=True)
            for label in range(3):
                (joint,) = torch.autograd.grad(logits[:, label].sum(), x, retain_graph=True)
                conditional_log = torch.log_softmax(logits, dim=1)[:, label]
                (conditional,) = torch.autograd.grad(conditional_log.sum(), x, retain_graph=True)
                difference = (marginal - (joint - conditional)).flatten(1).norm(dim=1)
                assert (difference / marginal.flatten(1).norm(dim=1)).max() < tolerance


# agreement on smooth networks, disagreement elsewhere


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("build", [smooth_mlp, smooth_cnn])
@pytest.mark.parametrize("p_norm", ["1", "2"])
@pytest.mark.parametrize("power", [1, 2])
def test_finite_difference_agrees_on_smooth_networks(build, activation, p_norm, power):
    model = build(activation)
    x = images()
    exact = penalty(model, x, p_norm=p_norm, power=power)
    estimate = penalty(model, x, estimator="finite_difference", p_norm=p_norm, power=power, h=0.01)
    torch.testing.assert_close(estimate, exact, rtol=0.02, atol=0)
    assert cosine(parameter_gradient(model, exact), parameter_gradient(model, estimate)) > 0.999


@pytest.mark.parametrize("build", [smooth_mlp, smooth_cnn])
def test_random_projection_agrees_on_smooth_networks_within_4_standard_errors(build):
    model = build("gelu")
    x = images(n=16)
    exact = penalty(model, x)
    direction = parameter_gradient(model, exact)
    values, alongs = [], []
    for seed in range(20):
        estimate = marginal_density(
            model, x, model(x), labels(16), estimator="random_projection", generator=noise(seed)
        )
        values.append(estimate.mean().item())
        alongs.append((parameter_gradient(model, estimate) @ direction / direction.square().sum()).item())
    for draws, expected in ((values, exact.mean().item()), (alongs, 1.0)):
        draws = torch.tensor(draws)
        assert draws.std() > 0
        assert abs(draws.mean() - expected) < 4 * draws.std() / 20**0.5


def test_on_relu_the_parameter_gradients_disagree_while_the_values_agree():
    model = scaled(smooth_mlp("relu"))
    x = images(n=16)
    exact, estimate = penalty(model, x), penalty(model, x, estimator="finite_difference", h=0.01)
    torch.testing.assert_close(estimate.mean(), exact.mean(), rtol=0.05, atol=0)
    assert cosine(parameter_gradient(model, exact), parameter_gradient(model, estimate)) < 0.99


def test_with_max_pooling_values_differ_on_flat_images():
    flat = torch.zeros(4, 1, 8, 8, dtype=torch.float64).requires_grad_(True)
    relative = {}
    for pooling in ("max", "average"):
        torch.manual_seed(0)
        model = scaled(smooth_cnn("gelu", pooling))
        exact = penalty(model, flat)
        estimate = penalty(model, flat, estimator="finite_difference", h=1e-4)
        relative[pooling] = ((estimate - exact) / exact).abs().max().item()
    assert relative["average"] < 0.01
    assert relative["max"] > 0.05


# numbers at the edge


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sign", [1, -1])
def test_logits_of_ten_thousand_are_finite(dtype, sign):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).to(dtype)
    with torch.no_grad():
        model[1].bias.copy_(sign * torch.tensor([1e4, 9e3, -1e4]))
    x = images(dtype=dtype)
    values = penalty(model, x)
    assert model(x).abs().max() > 9e3
    assert values.dtype == torch.float32
    assert values.isfinite().all() and (values > 0).all()
    assert parameter_gradient(model, values).isfinite().all()
    if dtype == torch.float32:
        for estimator in TAYLOR:
            values = penalty(model, x, estimator=estimator)
            assert values.isfinite().all() and parameter_gradient(model, values).isfinite().all()


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(
    ("estimator", "p_norm"),
    [(estimator, p) for estimator in ESTIMATORS[:3] for p in NORMS] + [("random_projection", "2")],
)
def test_a_zero_gradient_gives_a_zero_penalty_with_finite_derivatives(estimator, p_norm, power):
    if estimator == "random_projection" and power == 1:
        return  # refused, see below
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.GELU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[1].weight.zero_()
    values = penalty(model, images(dtype=torch.float32), estimator=estimator, p_norm=p_norm, power=power)
    assert (values == 0).all()
    assert parameter_gradient(model, values).isfinite().all()


# stochastic and stateful layers


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_running_statistics_move_once_per_step(estimator):
    model = cnn.build(1, (8, 8), 3, width=4, norm="batch").train()
    twin = cnn.build(1, (8, 8), 3, width=4, norm="batch").train()
    twin.load_state_dict(model.state_dict())
    x = images(dtype=torch.float32)
    penalty(model, x, estimator=estimator).mean().backward()
    twin(x)
    buffers = dict(twin.named_buffers())
    assert any(name.endswith("num_batches_tracked") for name in buffers)
    for name, value in model.named_buffers():
        assert torch.equal(value, buffers[name]), name
    assert all(layer.track_running_stats for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))


@pytest.mark.parametrize("estimator", TAYLOR)
def test_the_extra_forward_normalises_with_the_batch(estimator):
    model = cnn.build(1, (8, 8), 3, width=4, activation="gelu", pooling="average", norm="batch").double().train()
    x = images()
    first = penalty(model, x, estimator=estimator, h=1e-4)
    with torch.no_grad():  # running statistics far away: with them the two forwards would not compare
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.fill_(5.0)
    torch.testing.assert_close(penalty(model, x, estimator=estimator, h=1e-4), first)


@pytest.mark.parametrize("estimator", TAYLOR)
def test_dropout_masks_are_shared(estimator):
    model = mlp.build(1, (8, 8), 3, hidden=64, activation="gelu", dropout=0.5).double().train()
    x = images()
    state = random_state(x.device)
    logits = model(x)
    after = torch.get_rng_state()
    with replay(state):
        shared = marginal_density(model, x, logits, labels(), estimator=estimator, generator=noise())
    assert torch.equal(torch.get_rng_state(), after)
    with replay(state):
        network = model(x)
    assert torch.equal(network, logits)
    (gradient,) = torch.autograd.grad(log_density(logits).sum(), x)
    exact = gradient.flatten(1).square().sum(dim=1)
    assert (shared < 20 * exact).all()  # fresh masks change log p by far more than the step does
    if estimator == "finite_difference":
        torch.testing.assert_close(shared.detach(), exact, rtol=0.05, atol=0)


@pytest.mark.parametrize("estimator", TAYLOR)
def test_dropout_without_replay_is_refused(estimator):
    model = mlp.build(1, (8, 8), 3, dropout=0.5).train()
    with pytest.raises(RuntimeError, match="replay"):
        penalty(model, images(dtype=torch.float32), estimator=estimator)
    model.eval()
    assert penalty(model, images(dtype=torch.float32), estimator=estimator).isfinite().all()


@pytest.mark.parametrize("estimator", TAYLOR)
def test_under_autocast_both_forwards_are_float32_and_share_masks(estimator):
    model = mlp.build(1, (8, 8), 3, activation="gelu", dropout=0.5).train()
    x = images(dtype=torch.float32)
    state = random_state(x.device)
    exact = marginal_density(model, x, model(x), labels())
    with replay(state):
        logits = model(x)
    with replay(state):
        expected = marginal_density(model, x, logits, labels(), estimator=estimator, generator=noise())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with replay(state):
            logits = model(x)
        assert logits.dtype == torch.bfloat16
        with replay(state):
            actual = marginal_density(model, x, logits, labels(), estimator=estimator, generator=noise())
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-9)
    assert exact.dtype == actual.dtype == torch.float32
    assert parameter_gradient(model, actual).abs().sum() > 0


@pytest.mark.parametrize(("estimator", "forwards"), [("double_backward", 1), *((name, 2) for name in ESTIMATORS[1:])])
def test_logits_are_shared(estimator, forwards):
    model = smooth_mlp("gelu")
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    penalty(model, images(), estimator=estimator)
    assert len(calls) == forwards


@pytest.mark.parametrize(
    ("estimator", "p_norm"), [*(("finite_difference", p) for p in NORMS), ("random_projection", "2")]
)
def test_the_step_is_an_l2_displacement_of_h(estimator, p_norm):
    model = smooth_mlp("gelu")
    x = images(n=64)
    inputs = []
    model.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    penalty(model, x, estimator=estimator, p_norm=p_norm, h=0.03)
    lengths = (inputs[1] - inputs[0]).flatten(1).norm(dim=1)
    if estimator == "finite_difference":
        torch.testing.assert_close(lengths, torch.full_like(lengths, 0.03))
    else:  # h is the root mean square; each length scatters by 1/√(2 · 64) = 9 %
        assert lengths.square().mean().sqrt().item() == pytest.approx(0.03, rel=0.05)


@pytest.mark.parametrize("estimator", TAYLOR)
def test_the_taylor_estimators_run_under_torch_compile(estimator):
    model = smooth_mlp("gelu", torch.float32)
    x = images(dtype=torch.float32)
    expected = penalty(model, x, estimator=estimator)
    actual = penalty(torch.compile(model, backend="aot_eager"), x, estimator=estimator)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=0)
    assert cosine(parameter_gradient(model, actual), parameter_gradient(model, expected)) > 0.999


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_gradients_the_values_are_the_same(estimator):
    model = smooth_mlp("gelu")
    x = images()
    logits = model(x)
    expected = marginal_density(model, x, logits, labels(), estimator=estimator, generator=noise())
    with torch.no_grad():
        actual = marginal_density(model, x, logits, labels(), estimator=estimator, generator=noise())
    assert torch.equal(actual, expected) and expected.requires_grad and not actual.requires_grad


# refusals


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"estimator": "random_projection", "p_norm": "1"}, "p_norm must be '2'"),
        ({"estimator": "random_projection", "power": 1}, "power 2"),
        ({"estimator": "random_projection", "generator": None}, "generator"),
        ({"estimator": "exact"}, "double_backward"),
        ({"p_norm": "0.5"}, "inf"),
        ({"power": 3}, "1 or 2"),
        ({"h": 0.0}, "above 0"),
        ({"h": float("nan")}, "above 0"),
    ],
)
def test_wrong_arguments_are_refused(params, words):
    model = smooth_mlp("gelu")
    x = images()
    with pytest.raises(ValueError, match=words):
        marginal_density(model, x, model(x), labels(), **({"generator": noise()} | params))


def test_logits_that_do_not_depend_on_x_are_refused():
    model = smooth_mlp("gelu")
    x = images()
    for logits in (model(x.detach()), model(x).detach()):
        with pytest.raises(ValueError, match="requires_grad_"):
            marginal_density(model, x, logits, labels())


@pytest.mark.parametrize("estimator", TAYLOR)
def test_half_precision_weights_are_refused(estimator):
    model = smooth_mlp("gelu", torch.bfloat16)
    with pytest.raises(ValueError, match="float32 weights"):
        penalty(model, images(dtype=torch.bfloat16), estimator=estimator)


# alone


def test_the_file_works_alone_with_nothing_but_torch(tmp_path):
    shutil.copy(Path(module.__file__), tmp_path)
    (tmp_path / "loop.py").write_text(
        """
import sys
import torch
import torch.nn.functional as F
before = set(sys.modules)
from marginal_density import marginal_density, random_state, replay
assert not {name.split(".")[0] for name in set(sys.modules) - before} & {"worker", "backend", "numpy"}
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.GELU(), torch.nn.Dropout(0.2),
                            torch.nn.Linear(32, 3))
optimizer = torch.optim.Adam(model.parameters())
noise = torch.Generator().manual_seed(0)
for estimator in ("double_backward", "finite_difference", "random_projection"):
    x, y = torch.rand(8, 1, 8, 8), torch.randint(3, (8,))
    x.requires_grad_(True)
    state = random_state(x.device)
    logits = model(x)
    with replay(state):
        penalty = marginal_density(model, x, logits, y, estimator=estimator, generator=noise)
    loss = F.cross_entropy(logits, y) + 0.1 * penalty.mean()
    optimizer.zero_grad()
    loss.backward(inputs=list(model.parameters()))
    optimizer.step()
    assert x.grad is None and penalty.shape == (8,) and loss.isfinite()
print("fine")
"""
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; sys.path.insert(0, '.'); import loop"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.strip() == "fine", result.stderr


# the norms that every run logs


def test_gradient_norms_match_torch_func_for_every_class():
    model = scaled(smooth_mlp("gelu"))
    x = images()
    for label in range(3):
        y = torch.full((4,), label)

        def of(score):
            def one(image):
                return score(model(image.unsqueeze(0)).squeeze(0))

            return torch.func.vmap(torch.func.grad(one))(x.detach()).flatten(1).norm(dim=1)

        others = [other for other in range(3) if other != label]
        norms = gradient_norms(x, model(x), y)
        torch.testing.assert_close(norms.log_density, of(lambda f: f.logsumexp(0)))
        torch.testing.assert_close(norms.log_prob, of(lambda f, label=label: f[label] - f.logsumexp(0)))
        torch.testing.assert_close(norms.margin, of(lambda f, label=label, others=others: f[label] - f[others].max()))
        assert not norms.margin.requires_grad
