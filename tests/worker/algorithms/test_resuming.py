"""Every algorithm resumes bit for bit, with averaged weights, early stopping, divided batches and images read ahead."""

import pytest
import torch

from densitylab.worker.algorithms.algorithm import TrainingSamples
from densitylab.worker.resolve import component
from densitylab.worker.training.config import EarlyStop
from tests.worker.algorithms.linear_problem import CATALOG, TRAIN, fitted, linear_state, reloaded

EPOCHS = 6  # of 4 steps; JTT's first stage has two of them
OPTIONS = {
    "epochs": EPOCHS,
    "parts": 2,
    "early_stop": EarlyStop(20, "validation_worst_group"),
    "drawn": {"resident": False},
}


def state_of(key, **params):
    samples = TrainingSamples(TRAIN.labels, TRAIN.groups, 2, torch.device("cpu"))
    return linear_state(component(CATALOG, "algorithm", key, params).function(samples), ema_decay=0.5)


@pytest.mark.parametrize(
    ("key", "params", "stop_at"),
    [
        ("group_dro", {"step_size": 0.3}, 9),
        ("jtt", {"first_epochs": 2}, 5),  # within the first stage
        ("jtt", {"first_epochs": 2}, 8),  # at its end
        ("jtt", {"first_epochs": 2}, 13),  # within the second
        ("reweighting", {"balance": "sampling"}, 7),
        ("dfr", {"c": 1.0, "repeats": 2}, 24),  # before the last layer is retrained
    ],
)
def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(key, params, stop_at):
    undisturbed = state_of(key, **params)
    finished, rows = fitted(undisturbed, **OPTIONS)
    assert finished and len(rows) == 24
    before = state_of(key, **params)
    finished, first = fitted(before, stop_at=stop_at, **OPTIONS)
    assert not finished
    after = reloaded(before, state_of(key, **params))
    finished, second = fitted(after, **OPTIONS)
    assert finished and first + second == rows
    for name, value in undisturbed.kept_weights().items():
        assert torch.equal(value, after.kept_weights()[name])
    assert all("validation_worst_group" in values for step, values in rows if step % 4 == 0)
