"""Every attribution method on every model of the catalog, and on networks as other packages write them.

A map is finite and complete where theory says so, and the model stays as it was; or the launch refuses the method by
name. Networks of the package timm take part where it is installed.
"""

import copy
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Component
from densitylab.backend.shared.specs import complete_params, incompatibility
from densitylab.worker.attributions.deeplift import deeplift
from densitylab.worker.resolve import build_model, component

SIDE, CLASSES = 16, 3
BUILT_IN = Catalog.built_in()
IMAGES = replace(
    BUILT_IN.find("dataset", "blockmnist"),
    key="small",
    channels=3,
    image_size=(SIDE, SIDE),
    num_classes=CLASSES,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.2),
)
CATALOG = BUILT_IN.with_entries([IMAGES])
METHODS = CATALOG.all("attribution")
COMPLETE = {"integrated_gradients": {"steps": 128}, "deeplift": {}}
EXAMPLE = Path(__file__).parents[3] / "examples" / "plugin"


def variants():
    """(model, parameters): the defaults, and every other choice of one parameter, on small networks."""
    small = {"mlp": {"hidden": 32}, "cnn": {"width": 4}, "vit": {"width": 32, "depth": 2}}
    for entry in CATALOG.all("model"):
        if entry.package is not None or entry.key in ("convnext_tiny", "wide_resnet28_10", "vit_b16", "torchvision"):
            continue  # some take no images of 16 pixels, the others are larger kinds of the rest and take long
        yield entry.key, small.get(entry.key, {})
        for param in entry.params:
            if param.type == "str" and entry.key not in ("resnet34", "resnet50", "preact_resnet18"):  # as resnet18
                for choice in param.choices:
                    if choice != param.default:
                        yield entry.key, {**small.get(entry.key, {}), param.name: choice}


def prepared(model):
    """In eval mode, with the statistics that batch norm has after a training."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


class Reused(nn.Module):
    """One activation and one pooling module, each used twice, in place, and functions beside modules."""

    def __init__(self, act):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.bn, self.act, self.pool = nn.BatchNorm2d(8), act, nn.MaxPool2d(3, stride=2, padding=1)
        self.fc = nn.Linear(8 * 16, CLASSES)

    def forward(self, x):
        x = self.pool(self.act(self.bn(self.conv1(x))))
        x = self.act(x + self.conv2(self.act(x)))
        return self.fc(F.dropout(F.max_pool2d(x, 2).flatten(1), 0.5, self.training))


class Functional(nn.Module):
    """Activations and poolings as functions and methods of tensors alone."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = self.conv2(x).sigmoid() + F.leaky_relu(x).clamp(min=-0.5, max=0.5).tanh()
        return self.fc(x.mean((2, 3)))


class InPlace(nn.Module):
    """Activations in place whose result is not assigned, and a skip connection after them."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.conv1(x)
        F.silu(x, inplace=True)
        y = self.conv2(x)
        torch.relu_(y)
        return self.fc((y + x.sigmoid()).mean((2, 3)))


class SharedConvolution(nn.Module):
    """One convolution that is applied twice, with and without its activation."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.act, self.fc = nn.ReLU(inplace=True), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.act(self.stem(x))
        return self.fc(self.act(self.conv(self.act(self.conv(x)))).mean((2, 3)))


def cifar_resnet():
    sys.path.insert(0, str(EXAMPLE))
    try:
        from densitylab_example.cifar_resnet import build
    finally:
        sys.path.remove(str(EXAMPLE))
    return build(3, (SIDE, SIDE), CLASSES)


ELSEWHERE = {
    "reused": lambda: Reused(nn.ReLU()),
    "reused in place": lambda: Reused(nn.ReLU(inplace=True)),
    "reused silu in place": lambda: Reused(nn.SiLU(inplace=True)),
    "reused relu6": lambda: Reused(nn.ReLU6(inplace=True)),
    "reused prelu": lambda: Reused(nn.PReLU(8)),
    "reused elu": lambda: Reused(nn.ELU(0.7, True)),
    "reused hardswish": lambda: Reused(nn.Hardswish()),
    "functional": Functional,
    "in place": InPlace,
    "shared convolution": SharedConvolution,
    "example plug-in": cifar_resnet,
    **(
        {
            f"timm {name}": lambda name=name: build_model(CATALOG, "timm", {"name": name}, IMAGES)
            for name in ("resnet18", "mobilenetv2_100", "regnetx_002")
        }
        if importlib.util.find_spec("timm") is not None
        else {}
    ),
}


def state_of(model):
    modes = [module.training for module in model.modules()]
    hooks = [
        dict(held)
        for module in model.modules()
        for held in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    ]
    grads = [parameter.grad is None for parameter in model.parameters()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    return modes, hooks, grads, wanted, [module.__dict__.keys() for module in model.modules()]


def check(entry, model):
    torch.manual_seed(2)
    x, target = torch.rand(2, 3, SIDE, SIDE), torch.tensor([2, 0])
    x[:, :, :4] = 0.0
    before, weights, state = state_of(model), copy.deepcopy(model.state_dict()), torch.get_rng_state()
    params = COMPLETE.get(entry.key, {"samples": 2} if entry.param("samples") else {})
    maps = component(CATALOG, "attribution", entry.key, params).function(model, x, target)
    assert maps.shape == x.shape and maps.isfinite().all() and not maps.requires_grad
    assert entry.signed or (maps >= 0).all()
    assert state_of(model) == before and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    if entry.key in COMPLETE:
        with torch.no_grad():
            change = (model(x) - model(torch.zeros_like(x))).gather(1, target[:, None])[:, 0]
        by_image = maps.flatten(1)
        allowed = 0.02 * change.abs() + 0.004 * by_image.abs().sum(1) + 1e-6
        assert ((by_image.sum(1) - change).abs() <= allowed).all()
        assert (maps[x == 0] == 0).all()


def named(entries):
    return [pytest.param(entry, id=entry.key) for entry in entries]


@pytest.mark.parametrize("entry", named(METHODS))
@pytest.mark.parametrize(("model", "params"), [pytest.param(*v, id=f"{v[0]} {v[1]}") for v in variants()])
@pytest.mark.few(25)
def test_a_method_is_right_on_a_model_or_refused_before_the_launch(model, params, entry):
    errors = []
    _, params = complete_params(CATALOG, "model", model, params, "", errors)
    _, defaults = complete_params(CATALOG, "attribution", entry.key, {}, "", errors)
    assert not errors
    reason = incompatibility(CATALOG, entry, defaults, Component(key=model, params=params), IMAGES)
    torch.manual_seed(0)
    network = prepared(build_model(CATALOG, model, params, IMAGES))
    if reason is None:
        check(entry, network)
    else:
        assert entry.label in reason


@pytest.mark.parametrize("entry", named(METHODS))
@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.few(25)
def test_a_method_is_right_on_networks_as_others_write_them(name, entry):
    torch.manual_seed(0)
    check(entry, prepared(ELSEWHERE[name]()))


@pytest.mark.parametrize("model", ["vit", "cnn", "resnet18"])
def test_deeplift_is_refused_where_its_contributions_would_not_add_up(model):
    params = {"activation": "relu"} if model == "vit" else {"norm": "group"}
    entry = CATALOG.find("attribution", "deeplift")
    _, completed = complete_params(CATALOG, "model", model, params, "", [])
    reason = incompatibility(CATALOG, entry, {}, Component(key=model, params=completed), IMAGES)
    assert reason is not None and "other non-linear operations" in reason
    assert ("norm group" in reason) == (model != "vit")
    torch.manual_seed(0)
    network = prepared(build_model(CATALOG, model, params, IMAGES))
    with pytest.raises(ValueError, match=r"do not add up .*choose another method"):
        deeplift(network, torch.rand(2, 3, SIDE, SIDE), torch.tensor([0, 1]))


@pytest.mark.parametrize(("patch", "stride", "fits"), [(16, 16, True), (17, 2, False), (4, 5, False), (4, 4, True)])
def test_a_window_larger_than_the_image_or_smaller_than_its_stride_is_refused(patch, stride, fits):
    entry = CATALOG.find("attribution", "occlusion")
    reason = incompatibility(CATALOG, entry, {"patch": patch, "stride": stride}, Component(key="mlp"), IMAGES)
    assert (reason is None) == fits
    if reason is not None:
        assert reason.startswith("Occlusion needs stride ≤ patch ≤ 16") and f"patch {patch}" in reason
