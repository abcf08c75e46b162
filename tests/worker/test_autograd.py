"""Helpers that the training loop and the penalties share."""

import inspect

import pytest
import torch

from densitylab.worker import autograd
from densitylab.worker.autograd import random_state, replay, require_no_rng_use
from densitylab.worker.regularizers import marginal_density


def shared_code(module):
    """The source of the module from `RandomState` on, which is the end of both files."""
    source = inspect.getsource(module)
    return source[source.index("RandomState = ") :]


def test_the_file_that_people_copy_contains_the_same_code():
    assert "def replay(" in shared_code(autograd)
    assert shared_code(marginal_density) == shared_code(autograd)


@pytest.mark.parametrize("replaying", [autograd.replay, marginal_density.replay])
@pytest.mark.parametrize("checking", [autograd.require_no_rng_use, marginal_density.require_no_rng_use])
def test_each_copy_recognises_the_replay_of_the_other(replaying, checking):
    state = random_state(torch.device("cpu"))
    with replaying(state):
        torch.rand(1)
        checking(state, "penalty")
    state = random_state(torch.device("cpu"))
    torch.rand(1)
    with pytest.raises(RuntimeError, match="penalty needs the random numbers"):
        checking(state, "penalty")


def test_replay_repeats_the_numbers_and_then_continues():
    torch.manual_seed(0)
    state = random_state(torch.device("cpu"))
    first = torch.rand(3)
    with replay(state):
        assert torch.equal(torch.rand(3), first)
    after = torch.rand(3)
    torch.manual_seed(0)
    torch.rand(3)
    assert torch.equal(torch.rand(3), after)


def test_a_nested_replay_ends_alone():
    state = random_state(torch.device("cpu"))
    with replay(state):
        with replay(state):
            pass
        torch.rand(1)
        require_no_rng_use(state, "penalty")
