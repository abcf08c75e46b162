"""DFR: its logistic regression against scikit-learn's, and the layer that a run ends with."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from densitylab.worker.algorithms.algorithm import TrainingSamples
from densitylab.worker.algorithms.dfr import CHOICES_OF_C, balanced_subset, dfr
from densitylab.worker.algorithms.logistic_regression import l1_logistic_regression
from densitylab.worker.training import seeds
from tests.worker.algorithms.linear_problem import TRAIN, VALIDATION, fitted, linear_state


def problem(classes, images=120, features=8):
    generator = torch.Generator().manual_seed(classes)
    x = torch.randn(images, features, generator=generator, dtype=torch.float64)
    noise = 1.5 * torch.randn(images, classes, generator=generator)
    return x, (2 * x[:, :classes] + noise).argmax(dim=1)


@pytest.mark.parametrize("c", [0.05, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_logistic_regression_is_scikit_learns(classes, c):
    x, y = problem(classes)
    weight, bias = l1_logistic_regression(x, y, classes, c=c, tolerance=1e-9)
    peer = LogisticRegression(C=c, l1_ratio=1.0, solver="saga", tol=1e-10, max_iter=50_000).fit(x.numpy(), y.numpy())
    if classes == 2:
        own, own_bias = (weight[1] - weight[0])[None], (bias[1] - bias[0])[None]
        np.testing.assert_allclose(weight.abs().sum(), own.abs().sum(), rtol=1e-6)  # no weight is spent twice
    else:
        own, own_bias = weight, bias - bias.mean()
        peer.intercept_ -= peer.intercept_.mean()
    np.testing.assert_allclose(own.numpy(), peer.coef_, atol=1e-4)
    np.testing.assert_allclose(own_bias.numpy(), peer.intercept_, atol=1e-4)
    assert (own == 0).any() or c == 1.0  # a strong penalty leaves features out


def algorithm(**params):
    return dfr(TrainingSamples(TRAIN.labels, TRAIN.groups, 2, torch.device("cpu")), **params)


def test_a_run_ends_with_the_layer_that_scikit_learn_fits_to_the_same_balanced_validation_images():
    state = linear_state(algorithm(c=0.5, repeats=3))
    fitted(state, epochs=2)
    plain = linear_state(None)
    fitted(plain, epochs=2)
    assert torch.equal(state.model[-1].weight, plain.model[-1].weight)  # the training itself is ERM's
    ended = state.kept_weights()
    x = VALIDATION.images.flatten(1).numpy() / np.float32(255)
    x = x.astype(float)
    mean, std = x.mean(axis=0), x.std(axis=0)
    generator = torch.Generator().manual_seed(seeds.derive_seed(state.seed, seeds.HEAD, 0))
    slopes, offsets = [], []
    for _ in range(3):
        rows = balanced_subset(VALIDATION.groups, generator).numpy()
        peer = LogisticRegression(C=0.5, l1_ratio=1.0, solver="saga", tol=1e-10, max_iter=50_000)
        peer.fit((x[rows] - mean) / std, VALIDATION.labels.numpy()[rows])
        slopes.append(peer.coef_[0])
        offsets.append(peer.intercept_[0])
    slope = np.mean(slopes, axis=0) / std
    weight, bias = (ended[f"1.{name}"].double().numpy() for name in ("weight", "bias"))
    np.testing.assert_allclose(weight[1] - weight[0], slope, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(bias[1] - bias[0], np.mean(offsets) - slope @ mean, rtol=2e-3, atol=1e-3)
    assert "28 of 40 validation images, 7 of each group, with C 0.5" in state.algorithm.lines()[0]


def test_a_balanced_subset_has_every_group_equally_often_and_no_image_twice():
    rows = balanced_subset(VALIDATION.groups, torch.Generator().manual_seed(0))
    assert torch.bincount(VALIDATION.groups[rows]).tolist() == [7, 7, 7, 7] and len(rows.unique()) == 28


def test_c_is_chosen_by_the_worst_group_and_needs_two_images_of_each():
    groups = torch.arange(80) % 4
    x = torch.randn(80, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = groups // 2
    x[:, 0] = labels + 0.3 * x[:, 0]
    chosen = algorithm(repeats=1)
    chosen.retrain_head(x, labels, groups, seed=0)
    assert any(f"with C {c:g};" in chosen.lines()[0] for c in CHOICES_OF_C)
    with pytest.raises(ValueError, match="group 3 has only one: give c"):
        chosen.retrain_head(x[:7], labels[:7], groups[:7], seed=0)
