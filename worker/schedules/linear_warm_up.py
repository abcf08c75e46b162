"""λ that grows linearly from nothing, then stays."""

from __future__ import annotations

from worker.schedules.seen import Seen


def linear_warm_up(lambda_: float, step: int, total_steps: int, seen: Seen, *, warm_up: float = 0.2) -> float:
    """λ · min(1, step / (warm_up · total_steps)).

    Args:
        lambda_: λ after the warm-up.
        step: from 1 to `total_steps`.
        total_steps: of the run.
        seen: not used.
        warm_up: share of the run's steps, above 0 and at most 1.

    Returns:
        The λ in force at `step`.
    """
    return lambda_ * min(1.0, step / (warm_up * total_steps))
