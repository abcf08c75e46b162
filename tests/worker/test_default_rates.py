"""With the default learning rate every built-in network leaves chance on digits, by every optimizer."""

import importlib.util

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.specs import complete
from densitylab.worker.datasets.digits import digits
from densitylab.worker.models.normalise import Normalise
from densitylab.worker.resolve import build_optimizer, component

CATALOG = Catalog.built_in()
QUICK = ("mlp", "cnn")
GELU = {"activation": "gelu"}


def images(side):
    pixels, labels = (torch.from_numpy(array) for array in digits())
    x = torch.nn.functional.pad(pixels.view(-1, 1, 28, 28).float() / 255, (2, 2, 2, 2))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(x, 32 // side)[order], labels[order]


def accuracy_at_the_end(model, params, optimizer, *, side, steps, batch):
    """Accuracy on the batches of the last quarter of the steps, each before its images are trained on."""
    spec = complete(CATALOG, {"model": {"key": model, "params": params}, "optimizer": {"key": optimizer}})
    x, y = images(side)
    torch.manual_seed(0)
    build = component(CATALOG, "model", model, spec.model.params).function
    network = torch.nn.Sequential(Normalise((0.1307,), (0.3081,)), build(1, (side, side), 10)).train()
    stepper = build_optimizer(CATALOG, optimizer, spec.optimizer.params, network.parameters())
    right = []
    for step in range(steps):
        rows = slice(step * batch, (step + 1) * batch)
        logits = network(x[rows])
        right.append((logits.argmax(1) == y[rows]).float().mean())
        stepper.zero_grad()
        torch.nn.functional.cross_entropy(logits, y[rows]).backward()
        stepper.step()
    return torch.stack(right[-steps // 4 :]).mean().item()


OPTIMIZERS = pytest.mark.parametrize("optimizer", [entry.key for entry in CATALOG.all("optimizer")])


@OPTIMIZERS
@pytest.mark.parametrize(("model", "params"), [("mlp", {}), ("cnn", GELU)])
@pytest.mark.few(2)
def test_small_networks_leave_chance(model, params, optimizer):
    assert accuracy_at_the_end(model, params, optimizer, side=16, steps=160, batch=30) > 0.2


@pytest.mark.slow
@OPTIMIZERS
@pytest.mark.parametrize("model", [entry.key for entry in CATALOG.all("model") if entry.key not in QUICK])
def test_large_networks_leave_chance(model, optimizer):
    package = CATALOG.find("model", model).package
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}, which is not installed")
    if CATALOG.find("model", model).learning_rates is None:
        pytest.skip("of any network by its name, whose rates are not known")
    assert accuracy_at_the_end(model, {}, optimizer, side=32, steps=60, batch=16) > 0.15
