"""Mean penalties over images: the closed form of a linear model, and what they leave unchanged."""

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.models import cnn
from densitylab.worker.resolve import component
from densitylab.worker.training.penalties import BATCH, mean_penalty

CATALOG = Catalog.built_in()
CPU = torch.device("cpu")


def data(n, masks=False):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n, 1, 8, 8), generator=generator, dtype=torch.uint8)
    marked = torch.rand(n, 1, 8, 8, generator=generator) < 0.5 if masks else None
    return Dataset(images, torch.randint(3, (n,), generator=generator), marked)


def linear():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))


def mean(model, images, key="marginal_density", **options):
    regularizer = component(CATALOG, "regularizer", key, options.pop("params", {}))
    generator = torch.Generator().manual_seed(0)
    given = {"uses": regularizer.entry.uses, "generator": generator, "device": CPU, **options}
    return mean_penalty(model, images, regularizer=regularizer.function, **given)


@pytest.mark.parametrize("images", [5, BATCH, BATCH + 7])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("p_norm", ["1", "1.5", "2", "3", "inf"])
def test_of_a_linear_model_it_is_the_norm_of_the_weighted_rows(p_norm, power, images):
    model, given = linear(), data(images)
    weight, bias = (value.detach().double() for value in model[1].parameters())
    x = given.images.flatten(1).double() / 255
    gradients = (x @ weight.T + bias).softmax(dim=1) @ weight  # ∇ log p(x) = Wᵀ softmax(W x + b)
    expected = torch.linalg.vector_norm(gradients, ord=float(p_norm), dim=1).pow(power).mean()
    value = mean(model, given, params={"p_norm": p_norm, "power": power})
    assert value == pytest.approx(float(expected), rel=1e-5)


def test_a_regularizer_gets_the_masks_and_the_loss_that_it_uses():
    model, given = linear(), data(BATCH + 7, masks=True)
    weight, bias = (value.detach().double() for value in model[1].parameters())
    chances = (given.images.flatten(1).double() / 255 @ weight.T + bias).softmax(dim=1)
    gradients = weight[given.labels] - chances @ weight  # ∇ log p(y|x)
    expected = (gradients * given.masks.flatten(1)).square().sum(dim=1).mean()
    value = mean(model, given, "right_reasons", params={"target": "log_prob"})
    assert value == pytest.approx(float(expected), rel=1e-5)
    assert mean(model, given, "gaussian_noise", params={"sigma": 0.0}) == pytest.approx(0.0, abs=1e-6)


def test_the_model_keeps_its_statistics_and_gets_no_gradients():
    torch.manual_seed(0)
    model = cnn.build(1, (8, 8), 3, width=4, norm="batch").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert mean(model, data(BATCH)) > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_stops_between_two_batches():
    asked = []

    def should_stop():
        asked.append(True)
        return len(asked) > 1

    assert mean(linear(), data(3 * BATCH), should_stop=should_stop) is None
    assert len(asked) == 2
