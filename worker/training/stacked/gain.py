"""The gain of training runs together on a device, measured there on a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import torch

from densitylab.worker.errors import out_of_memory
from densitylab.worker.training.stacked.loop import StackedTraining
from densitylab.worker.training.stacked.member import Member

WARM_UP, TIMED = 3, 10  # steps
ENOUGH = 0.8  # of the time of the runs one after the other: more is no gain


def paying(member: Member, count: int, *, measure: bool = True) -> int:
    """Return how many runs like this one to train together, at most `count`: as many as fit into memory, if that takes
    at most 0.8 of their time one after the other; else 1. The member stays as it is.

    Args:
        member: one of them, at the step from which they train.
        count: of the runs, at least 2.
        measure: whether it has to pay; False: only that it works is tried.

    Raises:
        RuntimeError: torch cannot compute the network of several members at once.
    """
    while count > 1:
        try:
            together = _seconds([member] * count, measure=measure)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            count //= 2
            continue
        pays = not measure or together <= ENOUGH * count * _seconds([member], measure=True)
        return count if pays else 1
    return 1


def _seconds(members: Sequence[Member], *, measure: bool) -> float:
    """Return the seconds of some steps of copies of these members."""
    training = StackedTraining([_copy(member) for member in members], None)
    device = members[0].state.device
    with training:
        for _ in range(WARM_UP if measure else 1):
            training.step()
        _wait_for(device)
        began = perf_counter()
        for _ in range(TIMED if measure else 0):
            training.step()
        _wait_for(device)
    return perf_counter() - began


def _copy(member: Member) -> Member:
    """Return a member whose steps change neither the state nor the generators of the given one."""
    state = member.state
    generator = torch.Generator(state.device)
    generator.set_state(state.penalty_generator.get_state())
    return replace(member, state=replace(state, penalty_generator=generator))


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
