"""The other penalties against closed forms on a linear model and against torch.func, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.worker.attacks.pgd import maximise
from densitylab.worker.autograd import random_state, replay
from densitylab.worker.models import cnn, mlp
from densitylab.worker.regularizers.adversarial_training import adversarial_training, eval_mode
from densitylab.worker.regularizers.curvature import curvature
from densitylab.worker.regularizers.gaussian_noise import gaussian_noise
from densitylab.worker.regularizers.input_gradient import input_gradient
from densitylab.worker.regularizers.jacobian import jacobian
from densitylab.worker.regularizers.marginal_density import marginal_density
from densitylab.worker.regularizers.trades import kl_divergence, trades
from densitylab.worker.training.objective import objective

NORMS = {"1": 1, "2": 2, "inf": torch.inf}
GRADIENTS = {  # penalties on gradients by x
    "logit": lambda *args, generator: input_gradient(*args, target="logit", generator=generator),
    "log_prob": lambda *args, generator: input_gradient(*args, target="log_prob", generator=generator),
    "jacobian": jacobian,
    "curvature": curvature,
}
ATTACKED = {
    "adversarial": lambda *args, generator: adversarial_training(*args, steps=2, generator=generator),
    "trades": lambda *args, generator: trades(*args, steps=2, generator=generator),
}
EXTRA = {"curvature": curvature, "noise": gaussian_noise, **ATTACKED}  # penalties with forwards of their own
ALL = {**GRADIENTS, **EXTRA}


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=4, dtype=torch.float64):
    return torch.rand(n, 1, 8, 8, generator=noise(1), dtype=dtype).requires_grad_(True)


def labels(n=4):
    return torch.arange(n) % 3


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()


def smooth(dtype=torch.float64, factor=2.0):
    model = mlp.build(1, (8, 8), 3, hidden=16, activation="gelu").to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    return model


def penalty(regularizer, model, x, seed=0, **params):
    return regularizer(model, x, model(x), labels(len(x)), generator=noise(seed), **params)


def by_weights(model, values):
    gradients = torch.autograd.grad(values.mean(), list(model.parameters()), allow_unused=True, retain_graph=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten()
            for p, g in zip(model.parameters(), gradients, strict=True)
        ]
    )


def assert_same(model, actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(by_weights(model, actual), by_weights(model, expected), rtol=1e-8, atol=1e-10)


# closed forms on a linear model f(x) = W x + b, with q = softmax f(x) and e_y the label


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("p_norm", NORMS)
def test_input_gradient_on_a_linear_model(p_norm, power):
    model, x = linear(), images()
    weight, one_hot = model[1].weight, F.one_hot(labels(), 3).double()
    for target, rows in (("logit", one_hot), ("log_prob", one_hot - torch.softmax(model(x), dim=1))):
        expected = (rows @ weight).norm(p=NORMS[p_norm], dim=1) ** power
        assert_same(model, penalty(input_gradient, model, x, target=target, p_norm=p_norm, power=power), expected)


def test_jacobian_is_unbiased_for_the_frobenius_norm():
    model, x = linear(), images()
    exact = model[1].weight.square().sum().item()
    draws = torch.cat([penalty(jacobian, model, x, seed).detach() for seed in range(300)])
    assert abs(draws.mean().item() - exact) < 4 * draws.std().item() / len(draws) ** 0.5
    assert draws.std().item() > 0.05 * exact


def test_curvature_on_a_linear_model():
    model, x = linear(), images()
    weight, one_hot = model[1].weight, F.one_hot(labels(), 3).double()
    for h in (0.1, 1.5):
        gradient = (torch.softmax(model(x), dim=1) - one_hot) @ weight
        z = gradient.detach().sign() / 8  # 64 features: the sign has length 8
        there = (torch.softmax(model(x + h * z.view_as(x)), dim=1) - one_hot) @ weight
        assert_same(model, penalty(curvature, model, x, h=h), (there - gradient).square().sum(dim=1))


@pytest.mark.parametrize("name", ["logit", "log_prob", "jacobian"])
def test_double_backward_agrees_with_torch_func(name):
    model, x = smooth(), images()
    direction = F.normalize(torch.randn(4, 3, generator=noise(), dtype=torch.float64), dim=1)

    def mean_penalty(weights):
        def one(image, label, u):
            f = torch.func.functional_call(model, weights, (image.unsqueeze(0),)).squeeze(0)
            if name == "jacobian":
                return 3**0.5 * (u * f).sum()
            return (f if name == "logit" else torch.log_softmax(f, dim=0)).gather(0, label.view(1)).squeeze()

        gradients = torch.func.vmap(torch.func.grad(one))(x.detach(), labels(), direction)
        return gradients.square().flatten(1).sum(dim=1).mean()

    gradients, value = torch.func.grad_and_value(mean_penalty)(dict(model.named_parameters()))
    actual = penalty(ALL[name], model, x)
    torch.testing.assert_close(actual.mean(), value, rtol=1e-10, atol=0)
    expected = torch.cat([gradient.flatten() for gradient in gradients.values()])
    torch.testing.assert_close(by_weights(model, actual), expected, rtol=1e-8, atol=1e-12)


def test_curvature_agrees_with_torch_func():
    model, x = smooth(), images()

    def mean_penalty(weights):
        def loss(image, label):
            f = torch.func.functional_call(model, weights, (image.unsqueeze(0),))
            return F.cross_entropy(f, label.view(1))

        def one(image, label):
            here = torch.func.grad(loss)(image, label)
            sign = here.detach().sign()
            return (torch.func.grad(loss)(image + 1.5 * sign / sign.norm(), label) - here).square().sum()

        return torch.func.vmap(one)(x.detach(), labels()).mean()

    gradients, value = torch.func.grad_and_value(mean_penalty)(dict(model.named_parameters()))
    actual = penalty(curvature, model, x)
    torch.testing.assert_close(actual.mean(), value, rtol=1e-9, atol=0)
    expected = torch.cat([gradient.flatten() for gradient in gradients.values()])
    torch.testing.assert_close(by_weights(model, actual), expected, rtol=1e-7, atol=1e-12)


def test_marginal_joint_and_conditional_gradients_add_up_in_the_penalties():
    # with one input feature every norm is |g|; ∇ log p = ∇ f_y − ∇ log p(y|x), and y of the largest slope has
    # ∇ log p(y|x) ≥ 0, so there |∇ f_y| = |∇ log p| + |∇ log p(y|x)| when ∇ log p ≥ 0
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 3)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
    x = torch.rand(4, 1, 1, 1, dtype=torch.float64).requires_grad_(True)
    y = torch.full((4,), 2)
    joint, conditional = (
        input_gradient(model, x, model(x), y, target=target, power=1) for target in ("logit", "log_prob")
    )
    torch.testing.assert_close(joint, marginal_density(model, x, model(x), y, power=1) + conditional)


def test_gaussian_noise_is_the_loss_on_noisy_images_less_the_clean_one():
    model, x = smooth(), images()
    drawn = torch.randn(x.shape, generator=noise(), dtype=x.dtype)
    expected = F.cross_entropy(model(x + 0.3 * drawn), labels(), reduction="none")
    clean = F.cross_entropy(model(x), labels(), reduction="none")
    assert_same(model, penalty(gaussian_noise, model, x, sigma=0.3), expected - clean)
    assert (penalty(gaussian_noise, model, x, sigma=0.0) == 0).all()
    values = torch.cat([penalty(gaussian_noise, model, x, seed) for seed in range(20)])
    assert values.min() < 0 < values.max()


@pytest.mark.parametrize("p_norm", ["2", "inf"])
def test_adversarial_training_with_lambda_1_is_the_loss_on_attacked_images(p_norm):
    model, x = smooth(), images()
    terms = objective(
        model,
        x,
        labels(),
        lambda_=1.0,
        step=1,
        generator=noise(),
        regularizer=lambda *args, generator: adversarial_training(
            *args, p_norm=p_norm, epsilon=0.1, steps=5, generator=generator
        ),
    )
    x_adv = maximise(
        lambda x_adv: F.cross_entropy(model(x_adv), labels(), reduction="none"),
        x,
        p_norm=p_norm,
        epsilon=0.1,
        steps=5,
        generator=noise(),
    )
    madry = F.cross_entropy(model(x_adv), labels())
    assert madry > terms.cross_entropy + 1e-3
    assert_same(model, terms.loss.unsqueeze(0), madry.unsqueeze(0))


@pytest.mark.parametrize("epsilon", [0.05, 0.2])
def test_one_long_step_on_a_linear_model_of_two_classes_reaches_the_corner(epsilon):
    # the loss falls with the margin m = (w_0 − w_1)·x + c: the worst x′ is x − ε sign(w_0 − w_1) for y = 0
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).double()
    x, y = 0.25 + images() / 2, torch.tensor([0, 1, 0, 1])
    margin = model[1].weight[0] - model[1].weight[1]
    worst = x - epsilon * torch.where(y == 0, 1.0, -1.0).view(-1, 1, 1, 1) * margin.sign().view(1, 1, 8, 8)
    clean, attacked = (F.cross_entropy(model(image), y, reduction="none") for image in (x, worst))
    actual = adversarial_training(model, x, model(x), y, epsilon=epsilon, steps=1, step_size=1.0, generator=noise())
    torch.testing.assert_close(actual, attacked - clean)


def test_trades_is_the_divergence_at_its_own_worst_point():
    model, x = smooth(), images()
    begin = x + 0.001 * torch.randn(x.shape, generator=noise(), dtype=x.dtype)
    clean = model(x).detach()
    x_adv = maximise(
        lambda x_adv: kl_divergence(clean, model(x_adv)), x, p_norm="inf", epsilon=0.1, steps=5, begin=begin
    )
    p, q = torch.softmax(model(x), dim=1), torch.softmax(model(x_adv), dim=1)
    expected = (p * (p.log() - q.log())).sum(dim=1)
    actual = penalty(trades, model, x, steps=5)
    assert_same(model, actual, expected)
    random = kl_divergence(clean, model((x + 0.1 * torch.sign(torch.randn_like(x))).clamp(0, 1)))
    assert (actual > random).all()
    assert trades(model, x, clean, labels(), steps=5, generator=noise()).requires_grad  # by f(x′) alone too


@pytest.mark.parametrize("p_norm", ["2", "inf"])
def test_maximise_also_continues_on_misclassified_samples_and_stays_inside(p_norm):
    model, x = smooth(), images(n=8)
    y = (model(x).argmax(dim=1) + 1) % 3  # all misclassified from the start

    def loss(x_adv):
        return F.cross_entropy(model(x_adv), y, reduction="none")

    x_adv = maximise(loss, x, p_norm=p_norm, epsilon=0.2, steps=10, generator=noise())
    assert (loss(x_adv) > loss(x) + 0.01).all() and not x_adv.requires_grad
    delta = (x_adv - x).flatten(1)
    assert delta.norm(p=NORMS[p_norm], dim=1).max() <= 0.2 and x_adv.min() >= 0 and x_adv.max() <= 1
    assert torch.equal(maximise(loss, x, p_norm=p_norm, epsilon=0.0, steps=3), x)


# the rules of marginal_density


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_zero_gradient_gives_a_zero_penalty_with_finite_derivatives(name):
    model = smooth(torch.float32)
    with torch.no_grad():
        model[1].weight.zero_()
    values = penalty(ALL[name], model, images(dtype=torch.float32))
    assert (values == 0).all() and by_weights(model, values).isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_running_statistics_move_once_per_step(name):
    model, twin = (cnn.build(1, (8, 8), 3, width=4, norm="batch").train() for _ in range(2))
    twin.load_state_dict(model.state_dict())
    x = images(dtype=torch.float32)
    penalty(ALL[name], model, x).mean().backward()
    twin(x)
    buffers = dict(twin.named_buffers())
    for key, value in model.named_buffers():
        assert torch.equal(value, buffers[key]), key
    assert all(layer.track_running_stats for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    assert all(layer.training for layer in model.modules())


@pytest.mark.parametrize("name", EXTRA)
def test_the_extra_forward_normalises_with_the_batch(name):
    model = cnn.build(1, (8, 8), 3, width=4, activation="gelu", pooling="average", norm="batch").double().train()
    x = images()
    if name in ATTACKED:  # eval mode is the attack's: with ε = 0 only the last forward is left
        regularizer = {"adversarial": adversarial_training, "trades": trades}[name]
        assert penalty(regularizer, model, x, epsilon=0.0).abs().max() < 1e-12
        return
    first = penalty(ALL[name], model, x)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.fill_(5.0)
    torch.testing.assert_close(penalty(ALL[name], model, x), first)


@pytest.mark.parametrize("name", EXTRA)
def test_dropout_masks_are_shared_and_refused_without_replay(name):
    model = mlp.build(1, (8, 8), 3, hidden=64, activation="gelu", dropout=0.5).double().train()
    tiny = {"curvature": {"h": 1e-4}, "noise": {"sigma": 1e-6}}.get(name, {"epsilon": 0.0})
    regularizer = {"adversarial": adversarial_training, "trades": trades}.get(name, ALL[name])
    x = images()
    state = random_state(x.device)
    logits = model(x)
    after = torch.get_rng_state()
    with replay(state):
        shared = regularizer(model, x, logits, labels(), generator=noise(), **tiny)
    assert torch.equal(torch.get_rng_state(), after)
    assert shared.abs().max() < 1e-5  # with fresh masks about 0.1
    with pytest.raises(RuntimeError, match="replay"):
        regularizer(model, x, logits, labels(), generator=noise(), **tiny)


@pytest.mark.parametrize("name", ALL)
def test_without_gradients_the_values_are_the_same(name):
    model, x = smooth(), images()
    logits = model(x)
    expected = ALL[name](model, x, logits, labels(), generator=noise())
    with torch.no_grad():
        actual = ALL[name](model, x, logits, labels(), generator=noise())
    assert expected.requires_grad and not actual.requires_grad and x.grad is None
    torch.testing.assert_close(actual, expected.detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_under_bfloat16_autocast_the_penalty_is_float32_and_near(name):
    model, x = smooth(torch.float32, factor=1.0), images(dtype=torch.float32)
    expected = penalty(ALL[name], model, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = penalty(ALL[name], model, x)
        assert actual.dtype == torch.float32 and by_weights(model, actual).isfinite().all()
    if name == "curvature":  # both forwards in float32
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-9)
    else:
        torch.testing.assert_close(actual, expected, rtol=0.1, atol=0.02)


@pytest.mark.parametrize(
    ("regularizer", "params", "words"),
    [
        (input_gradient, {"target": "margin"}, "logit, log_prob"),
        (input_gradient, {"p_norm": "0.5"}, "p_norm"),
        (input_gradient, {"power": 3}, "1 or 2"),
        (jacobian, {"generator": None}, "generator"),
        (curvature, {"h": 0.0}, "above 0"),
        (gaussian_noise, {"sigma": -1.0}, "at least 0"),
        (gaussian_noise, {"generator": None}, "generator"),
        (adversarial_training, {"p_norm": "1"}, "'2', 'inf'"),
        (adversarial_training, {"epsilon": -0.1}, "at least 0"),
        (adversarial_training, {"generator": None}, "generator"),
        (trades, {"steps": 0}, "at least 1"),
        (trades, {"generator": None}, "generator"),
    ],
)
def test_wrong_arguments_are_refused(regularizer, params, words):
    model, x = smooth(), images()
    with pytest.raises(ValueError, match=words):
        regularizer(model, x, model(x), labels(), **({"generator": noise()} | params))


@pytest.mark.parametrize("name", GRADIENTS)
def test_logits_that_do_not_depend_on_x_are_refused(name):
    model, x = smooth(), images()
    with pytest.raises(ValueError, match="requires_grad_"):
        ALL[name](model, x, model(x).detach(), labels(), generator=noise())


def test_curvature_refuses_half_precision_weights():
    model = smooth(torch.bfloat16)
    with pytest.raises(ValueError, match="float32 weights"):
        penalty(curvature, model, images(dtype=torch.bfloat16))


def test_eval_mode_puts_each_layer_back():
    model = cnn.build(1, (8, 8), 3, width=4, norm="batch", dropout=0.5).train()
    model[1].eval()  # frozen by its owner
    before = [layer.training for layer in model.modules()]
    with pytest.raises(KeyError), eval_mode(model):
        assert not any(layer.training for layer in model.modules())
        raise KeyError
    assert [layer.training for layer in model.modules()] == before
