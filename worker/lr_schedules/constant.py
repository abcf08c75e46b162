"""The same learning rate throughout, after a warm-up if wanted."""

from __future__ import annotations

from worker.lr_schedules.warm_up import warmed_up


def constant(step: int, total_steps: int, *, warm_up: float = 0.0) -> float:
    """1, or less during the warm-up: what the optimizer's learning rate is multiplied by at `step`.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        warm_up: share of the run over which the rate grows linearly, in [0, 1].
    """
    return warmed_up(step, total_steps, warm_up)
