"""Linear warm-up of λ, then constant."""

from __future__ import annotations

from densitylab.worker.schedules.controller_state import ControllerState


def linear_warm_up(
    lambda_: float, step: int, total_steps: int, state: ControllerState, *, warm_up: float = 0.2
) -> float:
    """Return λ · min(1, step / (warm_up · total_steps)).

    Args:
        lambda_: λ after the warm-up.
        step: from 1 to `total_steps`.
        total_steps: of the run.
        state: not used.
        warm_up: fraction of the run's steps, above 0 and at most 1.

    Returns:
        The λ of this step.
    """
    return lambda_ * min(1.0, step / (warm_up * total_steps))
