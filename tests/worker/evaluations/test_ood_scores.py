"""Scores of features and ODIN equal their definitions; features are the inputs of every model's last linear layer."""

import importlib.util

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import nn

from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.feature_scores import mahalanobis, nearest_neighbour, virtual_logit
from densitylab.worker.evaluations.head import Head, read_head
from densitylab.worker.evaluations.odin import odin_scores
from densitylab.worker.evaluations.ood import ood
from densitylab.worker.resolve import build_model

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}
CATALOG = Catalog.built_in()
COLOUR = DatasetEntry("colour", "Colour", "", "", num_classes=3, channels=3, image_size=(32, 32))


def images(count=60, size=(8, 4), channels=1, level=256):
    drawn = torch.randint(
        0, level, (count, channels, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    return Dataset(drawn, torch.arange(count) % 3)


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    return rng.normal(size=(200, 6)) + 2 * np.eye(6)[labels], labels, rng.normal(size=(40, 6))


def test_the_nearest_neighbour_score_is_scikit_learns_distance(features):
    train, _, others = features
    unit_train, unit_others = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (train, others))
    distances, _ = NearestNeighbors(n_neighbors=7).fit(unit_train).kneighbors(unit_others)
    assert nearest_neighbour(train, others, neighbours=7) == pytest.approx(-distances[:, -1])
    farthest = np.linalg.norm(unit_others[:, None] - unit_train, axis=2).max(axis=1)
    assert nearest_neighbour(train, others, neighbours=1000) == pytest.approx(-farthest)


def test_the_mahalanobis_score_is_scikit_learns_distance_to_the_nearest_class(features):
    train, labels, others = features
    means = np.stack([train[labels == c].mean(axis=0) for c in range(3)])
    shared = EmpiricalCovariance(assume_centered=True).fit(train - means[labels])
    distances = np.stack([shared.mahalanobis(others - mean) for mean in means])
    assert mahalanobis(train, labels, others) == pytest.approx(-distances.min(axis=0), rel=1e-6)


def test_the_virtual_logit_is_the_part_outside_of_the_main_subspace(features):
    train, _, others = features
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(3, 6)), rng.normal(size=3)
    origin = -np.linalg.pinv(weight) @ bias
    assert weight @ origin + bias == pytest.approx(np.zeros(3), abs=1e-12)
    # scikit-learn centres at the mean: mirrored points have the mean 0, and the same second moments
    centred = train - origin
    main = PCA(4).fit(np.concatenate([centred, -centred])).components_

    def residual(part):
        part = part - origin
        return np.linalg.norm(part - part @ main.T @ main, axis=1)

    def logits(part):
        return part @ weight.T + bias

    alpha = logits(train).max(axis=1).mean() / residual(train).mean()
    expected = np.log(np.exp(logits(others)).sum(axis=1)) - alpha * residual(others)
    heads = [Head(part, weight, bias) for part in (train, others)]
    assert virtual_logit(*heads, dimension=4) == pytest.approx(expected)
    assert np.array_equal(virtual_logit(*heads, dimension=6), virtual_logit(*heads, dimension=None))


def test_odin_of_a_linear_model_has_a_closed_form():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 2)).double().eval()
    data = images()
    x = (data.images.double() / 255).flatten(1)
    margin = (model[1].weight[0] - model[1].weight[1]).detach()
    gap = (x @ margin + model[1].bias[0] - model[1].bias[1]).detach().abs()
    # of two classes the step adds epsilon times the 1-norm of the margin's gradient
    expected = torch.sigmoid((gap + 0.02 * margin.abs().sum()) / 10)
    scores = odin_scores(model, data, None, temperature=10.0, epsilon=0.02, **HOOKS)
    assert scores == pytest.approx(expected.numpy(), abs=1e-12)


@pytest.mark.parametrize("key", CATALOG.by_kind["model"])
@pytest.mark.few(4)
def test_the_head_of_every_model_gives_its_logits(key):
    entry = CATALOG.find("model", key)
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        pytest.skip(f"needs {entry.package}, which is not installed")
    torch.manual_seed(0)
    model = build_model(CATALOG, key, {}, COLOUR).eval()
    data = images(4, (32, 32), 3)
    head = read_head(model, data, np.array([0, 1, 3]), **HOOKS)
    with torch.no_grad():
        logits = model(data.images[[0, 1, 3]] / 255).double().numpy()
    assert head.features.shape[0] == 3
    assert head.logits == pytest.approx(logits, rel=1e-4, abs=1e-5 * np.abs(logits).max())
    assert not any(layer._forward_hooks for layer in model.modules())


class PerPosition(nn.Module):
    """A linear layer at each position, then the mean: it has no vector of features for an image."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x[:, 0]).mean(dim=1)


@pytest.mark.parametrize("model", [PerPosition(), nn.Sequential(nn.Conv2d(1, 3, (8, 4)), nn.Flatten())])
def test_a_model_without_a_linear_head_has_the_other_scores_and_a_flag(model):
    result = ood(model.eval(), images(250), train_data=images, generator=torch.Generator().manual_seed(0), **HOOKS)
    assert result.values["knn_auroc"].value is None and np.isnan(result.arrays["vim"]).all()
    assert 0 <= result.values["odin_auroc"].value <= 1
    assert [flag.key for flag in result.flags] == ["no_features"] and result.values["train_images"].value == 0


def test_a_constant_feature_does_not_end_the_evaluation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 3)).eval()
    with torch.no_grad():
        model[1].weight[:4], model[1].bias[:4] = 0, -1  # four dead units
    result = ood(model, images(250), train_data=images, generator=torch.Generator().manual_seed(0), **HOOKS)
    assert result.values["mahalanobis_auroc"].value is not None and result.flags == []
