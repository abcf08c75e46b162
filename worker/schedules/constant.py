"""λ that stays as it is."""

from __future__ import annotations

from worker.schedules.seen import Seen


def constant(lambda_: float, step: int, total_steps: int, seen: Seen) -> float:
    """The λ in force at `step` (1 to `total_steps`): always `lambda_`."""
    return lambda_
