"""PGD: inside the ball and [0, 1], equal to a simple implementation, and without side effects."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.worker.attacks.pgd import gradient_is_zero, pgd_l2, pgd_linf

ATTACKS = {"linf": pgd_linf, "l2": pgd_l2}


def make(count=40, classes=4, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    model = (
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 24), nn.ReLU(), nn.Dropout(0.5), nn.Linear(24, classes))
        .to(dtype)
        .eval()
    )
    x = torch.rand(count, 3, 6, 6, dtype=dtype)
    x[:, :, 0], x[:, :, 1] = 0.0, 1.0  # pixels at both ends
    with torch.no_grad():
        model[-1].bias -= model(x).mean(0)  # every class is predicted somewhere
    y = model(x).argmax(1)  # all classified correctly
    y[::5] = (y[::5] + 1) % classes  # but these
    return model, x, y


def length(delta, norm):
    delta = delta.double().flatten(1)
    return delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)


@pytest.mark.parametrize("norm", ATTACKS)
@pytest.mark.parametrize("epsilon", [1e-6, 1 / 255, 0.1, 0.3, 1.0, 3.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_never_leaves_the_ball_or_the_pixel_range(norm, epsilon, dtype):
    model, x, y = make(dtype=dtype)
    y = model(x).argmax(1)
    generator = torch.Generator().manual_seed(0)
    for steps, step_size in ((1, 10.0), (5, None)):
        x_adv = ATTACKS[norm](
            model, x, y, epsilon=epsilon, steps=steps, step_size=step_size, restarts=2, generator=generator
        )
        assert x_adv.dtype == dtype and x_adv.shape == x.shape
        assert x_adv.min() >= 0 and x_adv.max() <= 1
        assert length(x_adv.double() - x.double(), norm).max() <= epsilon


@pytest.mark.parametrize("norm", ATTACKS)
def test_the_attack_uses_the_whole_ball(norm):
    model, x, y = make()
    x, y = x[:, :, :], model(x).argmax(1)
    x_adv = ATTACKS[norm](model, x, y, epsilon=0.02, steps=20, generator=torch.Generator().manual_seed(0))
    robust = model(x_adv).argmax(1) == y
    assert robust.any()
    assert length(x_adv - x, norm)[robust].min() > 0.02 * 0.99


@pytest.mark.parametrize("norm", ATTACKS)
def test_epsilon_zero_returns_x(norm):
    model, x, y = make()
    assert torch.equal(ATTACKS[norm](model, x, y, epsilon=0.0), x)


def plain_pgd(model, x, y, norm, epsilon, steps, losses, starts):
    """A second implementation, one sample at a time: an attack succeeds if any iterate is misclassified."""
    broken = []
    size = 2.5 * epsilon / steps
    for i in range(len(x)):
        x0, label = x[i : i + 1], y[i].item()
        success = model(x0).argmax().item() != label
        for loss, start in zip(losses, starts, strict=True):
            z = start[i : i + 1].clone()
            for step in range(steps + 1):
                delta = z - x0
                if norm == "linf":
                    delta = delta.clamp(-epsilon, epsilon)
                elif delta.norm() > epsilon:
                    delta = delta * (epsilon / delta.norm())
                z = (x0 + delta).clamp(0, 1).detach().requires_grad_()
                logits = model(z)[0]
                success |= logits.argmax().item() != label
                if step == steps:
                    break
                if loss == "cross_entropy":
                    value = logits.logsumexp(0) - logits[label]
                else:
                    others = [logits[j] for j in range(len(logits)) if j != label]
                    value = torch.stack(others).max() - logits[label]
                (g,) = torch.autograd.grad(value, z)
                z = (z + size * (g.sign() if norm == "linf" else g / g.norm())).detach()
        broken.append(bool(success))
    return np.array(broken)


@pytest.mark.parametrize("norm,epsilon", [("linf", 0.03), ("l2", 0.25)])
@pytest.mark.parametrize("loss", ["worst", "cross_entropy", "margin"])
@pytest.mark.parametrize("random_start", [True, False])
def test_equals_a_plain_computation(norm, epsilon, loss, random_start):
    model, x, y = make(dtype=torch.float64)
    losses = ["cross_entropy", "margin"] if loss == "worst" else [loss]
    generator = torch.Generator().manual_seed(3)
    starts = [x] * len(losses)
    if random_start:
        starts = []
        for _ in losses:
            if norm == "linf":
                starts.append(x + epsilon * (2 * torch.rand(x.shape, dtype=x.dtype, generator=generator) - 1))
            else:
                normal = torch.randn(x.shape, dtype=x.dtype, generator=generator)
                radius = torch.rand(len(x), 1, 1, 1, dtype=x.dtype, generator=generator) ** (1 / x[0].numel())
                starts.append(x + epsilon * radius * normal / normal.flatten(1).norm(dim=1)[:, None, None, None])
    expected = plain_pgd(model, x, y, norm, epsilon, 10, losses, starts)
    x_adv = ATTACKS[norm](
        model,
        x,
        y,
        epsilon=epsilon,
        steps=10,
        loss=loss,
        random_start=random_start,
        generator=torch.Generator().manual_seed(3),
    )
    broken = (model(x_adv).argmax(1) != y).numpy()
    assert (broken == expected).all()
    assert 8 < expected.sum() < len(x)  # more than the eight wrong ones, yet not all


def test_the_start_fills_the_ball_evenly():
    """In two dimensions half of the disc's points are within radius/√2."""
    x = torch.full((4000, 1, 1, 2), 0.5)
    y = torch.zeros(4000, dtype=torch.long)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    nn.init.zeros_(model[1].weight)  # no gradient: the points stay where they started
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([1.0, 0.0]))
    x_adv = pgd_l2(model, x, y, epsilon=0.2, steps=1, loss="margin", generator=torch.Generator().manual_seed(0))
    inside = (length(x_adv - x, "l2") < 0.2 / 2**0.5).double().mean()
    assert abs(inside - 0.5) < 4 * (0.25 / 4000) ** 0.5


@pytest.mark.parametrize("norm", ATTACKS)
def test_more_restarts_and_the_worst_loss_are_at_least_as_strong(norm):
    model, x, y = make(200)
    epsilon = {"linf": 0.02, "l2": 0.15}[norm]

    def count(**keywords):
        x_adv = ATTACKS[norm](
            model, x, y, epsilon=epsilon, steps=5, generator=torch.Generator().manual_seed(0), **keywords
        )
        return (model(x_adv).argmax(1) != y).sum()

    assert count(loss="worst") >= count(loss="cross_entropy")
    assert count(loss="cross_entropy", restarts=4) >= count(loss="cross_entropy")


@pytest.mark.parametrize("norm", ATTACKS)
@pytest.mark.parametrize("training", [True, False])
def test_leaves_grads_modes_and_inputs_alone(norm, training):
    model, x, y = make()
    model.train(training)
    model[1].eval()  # a mixed mode stays mixed
    model[1].weight.grad = torch.full_like(model[1].weight, 7.0)
    x_before = x.clone()
    with torch.no_grad():
        ATTACKS[norm](model, x, y, epsilon=0.1, steps=3)
    assert model.training is training and model[1].training is False
    assert (model[1].weight.grad == 7.0).all() and model[4].weight.grad is None
    assert torch.equal(x, x_before) and not x.requires_grad
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("norm", ATTACKS)
def test_class_zero_is_attacked_like_any_other(norm):
    model, x, _ = make(60)
    labels = model(x).argmax(1)
    x, y = x[labels == 0], labels[labels == 0]
    assert len(x) > 3
    x_adv = ATTACKS[norm](model, x, y, epsilon={"linf": 0.5, "l2": 5.0}[norm], steps=20)
    assert (model(x_adv).argmax(1) != 0).all()


@pytest.mark.parametrize("norm", ATTACKS)
def test_the_same_generator_gives_the_same_attack(norm):
    model, x, y = make()
    first, second = (
        ATTACKS[norm](model, x, y, epsilon=0.05, steps=3, generator=torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("norm", ATTACKS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": -0.1},
        {"epsilon": float("nan")},
        {"epsilon": float("inf")},
        {"steps": 0},
        {"restarts": 0},
        {"step_size": 0.0},
        {"loss": "hinge"},
    ],
)
def test_refuses_wrong_parameters(norm, wrong):
    model, x, y = make(2)
    with pytest.raises(ValueError, match="expected"):
        ATTACKS[norm](model, x, y, **{"epsilon": 0.1, **wrong})


def test_refuses_pixels_outside_the_range():
    model, x, y = make(2)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        pgd_linf(model, x * 255, y, epsilon=0.1)


def test_zero_gradients_are_detected():
    model, x, y = make(6)
    saturated = nn.Sequential(model, nn.Hardtanh(-1e-9, 1e-9))
    assert gradient_is_zero(saturated, x, y).all()
    assert not gradient_is_zero(model, x, y).any()
    # a softmax that is saturated in float32 has no cross-entropy gradient, but still one of the margin
    y = model(x).argmax(1)

    def saturated(z):
        return 1e6 * model(z)

    assert gradient_is_zero(saturated, x, y, loss="cross_entropy").all()
    assert not gradient_is_zero(saturated, x, y, loss="worst").any()
    assert F.cross_entropy(saturated(x), y) == 0
