"""λ that goes from its first to its last value along half a cosine."""

from __future__ import annotations

from math import cos, pi

from worker.schedules.seen import Seen


def cosine(
    lambda_: float, step: int, total_steps: int, seen: Seen, *, start: float = 1.0, end: float = 0.0
) -> float:
    """λ · (end + (start − end) · (1 + cos πu) / 2), u = (step − 1) / (total_steps − 1).

    Args:
        lambda_: what `start` and `end` are shares of.
        step: from 1 to `total_steps`.
        total_steps: of the run; of a single step u = 0.
        seen: not used.
        start: at the first step, at least 0.
        end: at the last step, at least 0.

    Returns:
        The λ in force at `step`.
    """
    done = (step - 1) / max(1, total_steps - 1)
    return lambda_ * (end + (start - end) * (1 + cos(pi * done)) / 2)
