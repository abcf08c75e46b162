"""Cosine schedule of λ."""

from __future__ import annotations

from math import cos, pi

from densitylab.worker.schedules.controller_state import ControllerState


def cosine(
    lambda_: float, step: int, total_steps: int, state: ControllerState, *, start: float = 1.0, end: float = 0.0
) -> float:
    """Return λ · (end + (start − end) · (1 + cos πu) / 2), u = (step − 1) / (total_steps − 1).

    Args:
        lambda_: factor of `start` and `end`.
        step: from 1 to `total_steps`.
        total_steps: of the run; of a single step u = 0.
        state: not used.
        start: at the first step, at least 0.
        end: at the last step, at least 0.

    Returns:
        The λ of this step.
    """
    done = (step - 1) / max(1, total_steps - 1)
    return lambda_ * (end + (start - end) * (1 + cos(pi * done)) / 2)
