"""Group DRO against the paper's algorithm, written in NumPy for a linear model, and resuming bit for bit."""

from contextlib import closing

import numpy as np
import pytest
import torch

from densitylab.worker.algorithms.algorithm import TrainingSamples
from densitylab.worker.algorithms.group_dro import group_dro
from densitylab.worker.resolve import component
from densitylab.worker.training.objective import objective
from tests.worker.algorithms.linear_problem import (
    CATALOG,
    LEARNING_RATE,
    TRAIN,
    VALIDATION,
    batches,
    fitted,
    linear_state,
)

STEPS = 12


def algorithm(data=TRAIN, **params):
    return group_dro(TrainingSamples(data.labels, data.groups, 2, torch.device("cpu")), **params)


def plain_group_dro(weight, bias, order, *, step_size, adjustment, batch):
    """(weight, bias, q) after the steps of `order`, of a softmax model on two pixels, in NumPy."""
    x = TRAIN.images.numpy().reshape(len(TRAIN), -1).astype(np.float64) / 255
    y, groups = TRAIN.labels.numpy(), TRAIN.groups.numpy()
    sizes = np.bincount(groups)
    q = np.full(len(sizes), 1 / len(sizes))
    for step in range(STEPS):
        rows = order[step * batch : (step + 1) * batch]
        logits = x[rows] @ weight.T + bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        losses = -np.log(p[np.arange(len(rows)), y[rows]])
        loss_of_group, share = np.zeros(len(sizes)), np.zeros(len(rows))
        for g in range(len(sizes)):
            own = groups[rows] == g
            if own.any():
                loss_of_group[g] = losses[own].mean()
                q[g] *= np.exp(step_size * (loss_of_group[g] + adjustment / np.sqrt(sizes[g])))
        q /= q.sum()
        for g in range(len(sizes)):
            own = groups[rows] == g
            share[own] = q[g] / max(own.sum(), 1)
        slope = share[:, None] * (p - np.eye(2)[y[rows]])
        weight = weight - LEARNING_RATE * slope.T @ x[rows]
        bias = bias - LEARNING_RATE * slope.sum(axis=0)
    return weight, bias, q


@pytest.mark.parametrize("adjustment", [0.0, 2.0])
@pytest.mark.parametrize("parts", [1, 3])
def test_weights_of_groups_and_of_the_model_are_those_of_the_papers_algorithm(adjustment, parts):
    params = {"step_size": 0.5, "adjustment": adjustment, "balanced": False}
    state = linear_state(algorithm(**params))
    head = state.model[-1]
    first = head.weight.detach().numpy().astype(float), head.bias.detach().numpy().astype(float)
    with closing(batches()) as training:
        order = np.concatenate([training._order_of(epoch).numpy() for epoch in range(3)])
    fitted(state, epochs=3, parts=parts)
    weight, bias, q = plain_group_dro(*first, order, step_size=0.5, adjustment=adjustment, batch=10)
    np.testing.assert_allclose(list(state.algorithm.metrics().values()), q, rtol=1e-5)
    np.testing.assert_allclose(head.weight.detach().numpy(), weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(head.bias.detach().numpy(), bias, rtol=1e-4, atol=1e-6)
    assert q.max() > 1.2 * q.min()


def test_a_group_that_a_batch_lacks_keeps_its_weight_before_the_division():
    dro = algorithm(step_size=1.0)
    weights = dro.loss_weights(torch.tensor([1.0, 3.0]), torch.tensor([0, 0]), torch.tensor([1, 1]))
    q = np.array([1, np.e**2, 1, 1]) / (3 + np.e**2)
    np.testing.assert_allclose(list(dro.metrics().values()), q)
    np.testing.assert_allclose(weights.numpy(), [q[1], q[1]], rtol=1e-6)  # two images: the mean has the weight q


def test_a_huge_loss_gives_its_group_all_the_weight():
    dro = algorithm(step_size=100.0)
    weights = dro.loss_weights(torch.tensor([1e6, 0.0]), torch.tensor([0, 1]), torch.tensor([0, 3]))
    assert weights.tolist() == [2.0, 0.0]


def test_a_penalty_of_changed_images_has_the_weights_of_the_samples():
    state, data = linear_state(algorithm()), VALIDATION
    x, weights = data.images[:8] / 255, torch.arange(1.0, 9.0)
    noise = component(CATALOG, "regularizer", "gaussian_noise", {"sigma": 0.2})
    terms = objective(
        state.model,
        x,
        data.labels[:8],
        regularizer=noise.function,
        lambda_=1.0,
        step=1,
        generator=torch.Generator().manual_seed(0),
        uses=noise.entry.uses,
        weigh=lambda losses: weights,
    )
    draws = torch.Generator().manual_seed(0)
    changed = (x + 0.2 * torch.randn(x.shape, generator=draws)).detach()
    losses = [
        torch.nn.functional.cross_entropy(state.model(of), data.labels[:8], reduction="none") for of in (changed, x)
    ]
    torch.testing.assert_close(terms.cross_entropy, (weights * losses[1]).mean())
    torch.testing.assert_close(terms.loss, (weights * losses[0]).mean())  # λ = 1: changed images alone
