"""Constant learning rate, after an optional warm-up."""

from __future__ import annotations

from densitylab.worker.lr_schedules.warm_up import warmed_up


def constant(step: int, total_steps: int, *, warm_up: float = 0.0) -> float:
    """Return the factor of the optimizer's learning rate at `step`: 1, or less during the warm-up.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        warm_up: fraction of the run over which the rate grows linearly, in [0, 1].
    """
    return warmed_up(step, total_steps, warm_up)
