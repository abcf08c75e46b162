"""JTT: its stages against plain trainings, its error set, and the distribution of its draws."""

import numpy as np
import torch

from densitylab.worker.algorithms.algorithm import Algorithm, TrainingSamples
from densitylab.worker.algorithms.jtt import ERROR_SET, jtt
from densitylab.worker.lr_schedules.cosine import cosine
from densitylab.worker.training.state import TrainingState
from tests.worker.algorithms.linear_problem import TRAIN, batches, fitted, linear_state


class Drawn(Algorithm):
    """Plain training with given weights of the draws."""

    def __init__(self, weights):
        self._weights = weights

    def sampling_weights(self):
        return self._weights


def twice(**params):
    return jtt(TrainingSamples(TRAIN.labels, None, 2, torch.device("cpu")), **params)


def wrong(state: TrainingState):
    with torch.no_grad():
        return state.model.eval()(TRAIN.images / 255).argmax(dim=1) != TRAIN.labels


def test_both_stages_are_plain_trainings_and_the_error_set_is_what_the_first_gets_wrong():
    state = linear_state(twice(first_epochs=2, upweight=5.0))
    _, rows = fitted(state, epochs=6, lr_schedule=cosine)

    first = linear_state(Algorithm())
    _, expected = fitted(first, epochs=2, lr_schedule=cosine)
    assert rows[:8] == expected
    errors = wrong(first)
    assert 0 < errors.sum() < len(TRAIN)

    second = linear_state(Drawn(torch.where(errors, 5.0, 1.0).double()))
    second.step = 8  # the orders are those of epochs 3 to 6, the schedule is that of 16 steps
    _, expected = fitted(second, epochs=6, lr_schedule=lambda step, total: cosine(step - 8, total - 8))
    assert rows[8:] == expected
    files = state.algorithm.files()[ERROR_SET]
    np.testing.assert_array_equal(files["indices"], errors.nonzero().flatten().numpy())
    assert files["images"] == len(TRAIN)
    assert f"{int(errors.sum())} of {len(TRAIN)}" in state.algorithm.lines()[0]


def test_the_average_of_the_weights_starts_over_too_and_decides_the_error_set():
    state = linear_state(twice(first_epochs=2), ema_decay=0.9)
    fitted(state, epochs=3, stop_at=9)
    first = linear_state(Algorithm(), ema_decay=0.9)
    fitted(first, epochs=2)
    first.model.load_state_dict(first.average.state_dict())
    assert torch.equal(state.algorithm.state_dict()["errors"], wrong(first))
    fresh = linear_state(Algorithm()).model[-1].weight
    after_one_step = 2 / 11  # of the average, that of a first step
    expected = after_one_step * fresh + (1 - after_one_step) * state.model[-1].weight
    torch.testing.assert_close(state.average[-1].weight, expected)


def test_an_image_of_the_error_set_is_drawn_as_much_more_often_as_stated():
    algorithm = twice(upweight=9.0)
    assert algorithm.sampling_weights() is None
    algorithm.start_over(torch.where(torch.arange(len(TRAIN)) < 4, 1 - TRAIN.labels, TRAIN.labels))
    with_weights = batches()
    with_weights.sample_by(algorithm.sampling_weights())
    drawn = torch.cat([with_weights._order_of(epoch) for epoch in range(200)])
    share = float((drawn < 4).double().mean())
    assert abs(share - 36 / (36 + len(TRAIN) - 4)) < 0.02
