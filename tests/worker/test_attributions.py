"""Attributions equal Captum called directly, or plain autograd, and leave everything else alone."""

import pytest
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from torch import nn

from worker.attributions.gradient import gradient
from worker.attributions.integrated_gradients import integrated_gradients
from worker.attributions.log_density import log_density
from worker.attributions.smoothgrad import smoothgrad

METHODS = [gradient, integrated_gradients, smoothgrad, log_density]


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(36, 5),
    ).eval()
    x = torch.rand(7, 2, 6, 6)
    x[:, 0, :2] = 0.0
    return model, x, torch.tensor([0, 0, 1, 2, 3, 4, 0])


def close(a, b, tolerance=1e-6):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def test_gradient_equals_captum_and_autograd(small):
    model, x, target = small
    direct = Saliency(model).attribute(x.clone().requires_grad_(), target=target, abs=False)
    assert torch.equal(gradient(model, x, target), direct)
    one = torch.func.vmap(torch.func.grad(lambda image, t: model(image[None])[0].gather(0, t[None])[0]))
    assert close(gradient(model, x, target), one(x, target))
    assert direct.min() < 0 < direct.max()


def test_integrated_gradients_equals_captum_and_is_complete(small):
    model, x, target = small
    direct = IntegratedGradients(model).attribute(x, target=target, n_steps=32, method="gausslegendre")
    assert close(integrated_gradients(model, x, target), direct)
    fine = integrated_gradients(model, x, target, steps=512).flatten(1).sum(1)
    rise = (model(x) - model(torch.zeros_like(x))).gather(1, target[:, None])[:, 0]
    assert close(fine, rise, 1e-2)
    assert (integrated_gradients(model, x, target)[x == 0] == 0).all()


def test_integrated_gradients_in_parts_equals_at_once(small):
    model, x, target = small
    many, targets = x.repeat(20, 1, 1, 1), target.repeat(20)
    assert close(integrated_gradients(model, many, targets)[:7], integrated_gradients(model, x, target))


def test_smoothgrad_equals_captum(small):
    model, x, target = small
    ours = smoothgrad(model, x, target, samples=5, sigma=0.2, seed=11)
    for i in range(len(x)):
        torch.manual_seed(11)
        direct = NoiseTunnel(Saliency(model)).attribute(
            x[i : i + 1], nt_type="smoothgrad", nt_samples=5, stdevs=0.2, target=target[i : i + 1], abs=False
        )
        assert close(ours[i], direct[0])


def test_smoothgrad_repeats_and_does_not_depend_on_the_batch(small):
    model, x, target = small
    whole = smoothgrad(model, x, target, seed=1)
    assert torch.equal(whole, smoothgrad(model, x, target, seed=1))
    assert close(whole[3:5], smoothgrad(model, x[3:5], target[3:5], seed=1))
    assert not close(whole, smoothgrad(model, x, target, seed=2))


def test_smoothgrad_without_noise_is_the_gradient(small):
    model, x, target = small
    assert close(smoothgrad(model, x, target, samples=3, sigma=0.0), gradient(model, x, target))


def test_log_density_equals_autograd_and_functional(small):
    model, x, target = small
    inputs = x.clone().requires_grad_()
    torch.logsumexp(model(inputs), 1).sum().backward()
    assert close(log_density(model, x, target), inputs.grad)
    functional = torch.func.vmap(torch.func.grad(lambda image: model(image[None]).logsumexp(1)[0]))
    assert close(log_density(model, x, target), functional(x))
    weighted = sum(
        model(x).softmax(1)[:, c, None, None, None] * gradient(model, x, torch.full((7,), c)) for c in range(5)
    )
    assert close(log_density(model, x, target), weighted)


@pytest.mark.parametrize("method", METHODS)
def test_class_zero_is_a_class(method, small):
    """A target of 0 gives the map of class 0, also when it stands for every image."""
    model, x, _ = small
    zero = method(model, x, torch.zeros(7, dtype=torch.long))
    with torch.no_grad():
        swapped = nn.Sequential(*model[:-1], nn.Linear(36, 5))
        swapped[-1].weight.copy_(model[-1].weight.roll(1, 0))
        swapped[-1].bias.copy_(model[-1].bias.roll(1, 0))
    assert close(zero, method(swapped.eval(), x, torch.ones(7, dtype=torch.long)))
    assert zero.abs().max() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("training", [True, False])
def test_leaves_grads_modes_inputs_and_randomness_alone(method, training, small):
    model, x, target = small
    model[-1].weight.grad = torch.full_like(model[-1].weight, 3.0)
    model[5].train(training)  # dropout draws in training mode, so only its mode is looked at below
    before, state = x.clone(), torch.get_rng_state()
    with torch.no_grad():
        result = method(model, x, target)
    assert result.shape == x.shape and result.dtype == x.dtype and not result.requires_grad
    assert torch.equal(x, before) and not x.requires_grad and x.grad is None
    assert (model[-1].weight.grad == 3.0).all() and model[0].weight.grad is None
    assert model.training is False and model[5].training is training
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert training or torch.equal(torch.get_rng_state(), state)
