"""Attributions equal Captum called directly, or plain autograd, and have no side effects."""

import copy

import numpy as np
import pytest
import torch
from captum.attr import (
    DeepLift,
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from torch import nn

from densitylab.worker.attributions.deeplift import deeplift
from densitylab.worker.attributions.grad_cam import grad_cam
from densitylab.worker.attributions.gradient import gradient
from densitylab.worker.attributions.gradient_shap import gradient_shap
from densitylab.worker.attributions.input_x_gradient import input_x_gradient
from densitylab.worker.attributions.integrated_gradients import integrated_gradients
from densitylab.worker.attributions.log_density import log_density
from densitylab.worker.attributions.occlusion import occlusion
from densitylab.worker.attributions.smoothgrad import smoothgrad

METHODS = [
    gradient,
    integrated_gradients,
    smoothgrad,
    log_density,
    input_x_gradient,
    gradient_shap,
    deeplift,
    grad_cam,
    occlusion,
]


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(36, 5),
    ).eval()
    x = torch.rand(7, 2, 6, 6)
    x[:, 0, :2] = 0.0
    return model, x, torch.tensor([0, 0, 1, 2, 3, 4, 0])


def close(a, b, tolerance=1e-6):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def direct_grad_cam(model, x, t):
    coarse = LayerGradCam(model, model[0]).attribute(x, target=t, relu_attributions=True)
    return LayerGradCam.interpolate(coarse, x.shape[2:], "bilinear").expand_as(x)


# Captum called directly for one image x (1, C, H, W) and its class t, with each method's usual parameters
CAPTUM = {
    gradient: lambda model, x, t: Saliency(model).attribute(x, target=t, abs=False),
    integrated_gradients: lambda model, x, t: IntegratedGradients(model).attribute(x, target=t, n_steps=32),
    smoothgrad: lambda model, x, t: NoiseTunnel(Saliency(model)).attribute(
        x, nt_type="smoothgrad", nt_samples=16, stdevs=0.1, target=t, abs=False
    ),
    log_density: lambda model, x, t: Saliency(lambda inputs: model(inputs).logsumexp(1)).attribute(x, abs=False),
    input_x_gradient: lambda model, x, t: InputXGradient(model).attribute(x, target=t),
    gradient_shap: lambda model, x, t: GradientShap(model).attribute(
        x, torch.zeros_like(x), n_samples=16, stdevs=0.1, target=t
    ),
    deeplift: lambda model, x, t: DeepLift(copy.deepcopy(model)).attribute(x, torch.zeros_like(x), target=t),
    grad_cam: direct_grad_cam,
    occlusion: lambda model, x, t: Occlusion(model).attribute(
        x, sliding_window_shapes=(x.shape[1], 4, 4), strides=(x.shape[1], 2, 2), target=t
    ),
}


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
@pytest.mark.parametrize("method", METHODS)
def test_each_method_equals_captum_called_directly(method, small):
    model, x, target = small
    ours = method(model, x, target)
    assert ours.abs().max() > 0
    for index in range(len(x)):
        torch.manual_seed(0)  # the usual seed of the methods that draw; Captum draws from numpy too
        np.random.seed(0)
        one = x[index : index + 1].clone().requires_grad_()
        assert close(ours[index], CAPTUM[method](model, one, int(target[index])).detach()[0]), index


def test_gradient_equals_autograd_and_has_both_signs(small):
    model, x, target = small
    result = gradient(model, x, target)
    one = torch.func.vmap(torch.func.grad(lambda image, t: model(image[None])[0].gather(0, t[None])[0]))
    assert close(result, one(x, target))
    assert result.min() < 0 < result.max()


def test_integrated_gradients_is_complete_and_zero_on_black(small):
    model, x, target = small
    fine = integrated_gradients(model, x, target, steps=512).flatten(1).sum(1)
    assert close(fine, rise(model, x, target), 1e-2)
    assert (integrated_gradients(model, x, target)[x == 0] == 0).all()


def test_integrated_gradients_in_parts_equals_at_once(small):
    model, x, target = small
    many, targets = x.repeat(20, 1, 1, 1), target.repeat(20)
    assert close(integrated_gradients(model, many, targets)[:7], integrated_gradients(model, x, target))


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


def rise(model, x, target):
    """f_t(x) − f_t(0), the sum of the attributions of a complete method."""
    return (model(x) - model(torch.zeros_like(x))).gather(1, target[:, None])[:, 0]


def test_input_x_gradient_is_the_product(small):
    model, x, target = small
    assert close(input_x_gradient(model, x, target), x * gradient(model, x, target))


def test_deeplift_is_complete_and_zero_on_black(small):
    model, x, target = small
    result = deeplift(model, x, target)
    assert close(result.flatten(1).sum(1), rise(model, x, target), 1e-5)
    assert (result[x == 0] == 0).all()


def test_deeplift_of_a_linear_model_is_input_times_gradient(small):
    _, x, target = small
    linear = nn.Sequential(nn.Flatten(), nn.Linear(72, 5))
    assert close(deeplift(linear, x, target), input_x_gradient(linear, x, target))


def test_gradient_shap_adds_up_on_a_linear_model_and_does_not_depend_on_the_batch(small):
    model, x, target = small
    linear = nn.Sequential(nn.Flatten(), nn.Linear(72, 5))
    assert close(gradient_shap(linear, x, target, sigma=0.0), input_x_gradient(linear, x, target))
    whole = gradient_shap(model, x, target, seed=3)
    assert close(whole[2:4], gradient_shap(model, x[2:4], target[2:4], seed=3))
    assert not close(whole, gradient_shap(model, x, target, seed=4))


def test_grad_cam_weighs_the_maps_of_the_last_convolution(small):
    model, x, target = small
    features = model[0](x).detach().requires_grad_()
    model[1:](features).gather(1, target[:, None]).sum().backward()
    coarse = (features.grad.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).clamp_min(0)
    assert close(grad_cam(model, x, target), coarse.expand_as(x), 1e-5)
    with pytest.raises(ValueError, match="convolutions"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(72, 5)), x, target)


def test_occlusion_is_what_a_black_patch_takes(small):
    model, x, target = small
    result = occlusion(model, x, target, patch=3, stride=3)
    hidden = x.clone()
    hidden[:, :, :3, 3:6] = 0
    taken = (model(x) - model(hidden)).gather(1, target[:, None])[:, 0]
    assert close(result[:, :, :3, 3:6], taken.view(-1, 1, 1, 1).expand(-1, 2, 3, 3), 1e-5)
    with pytest.raises(ValueError, match="stride"):
        occlusion(model, x, target, patch=2, stride=3)


def test_patches_of_one_pixel_equal_captums_and_need_no_pass_for_black_pixels(small):
    model, x, target = small
    x = torch.where(torch.rand(x[:, :1].shape, generator=torch.Generator().manual_seed(0)) < 0.8, 0.0, x)
    passed = 0

    class Counted(nn.Module):
        def forward(self, images):
            nonlocal passed
            passed += len(images)
            return model(images)

    result = occlusion(Counted(), x, target, patch=1, stride=1)
    assert passed == len(x) + (x != 0).any(dim=1).sum()
    expected = Occlusion(model).attribute(x, sliding_window_shapes=(x.shape[1], 1, 1), target=target)
    assert close(result, expected, 1e-5) and result.abs().max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_class_zero_is_a_class(method, small):
    """A target of 0 gives the map of class 0, also if it is the target of every image."""
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
    model[5].train(training)  # dropout draws in training mode, so only its mode is checked below
    before, state = x.clone(), torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        result = method(model, x, target)
    assert result.shape == x.shape and result.dtype == x.dtype and not result.requires_grad
    assert torch.equal(x, before) and not x.requires_grad and x.grad is None
    assert (model[-1].weight.grad == 3.0).all() and model[0].weight.grad is None
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.training is False and model[5].training is training
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert training or torch.equal(torch.get_rng_state(), state)
