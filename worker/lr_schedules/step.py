"""A learning rate that falls at stated points of the run."""

from __future__ import annotations

from collections.abc import Sequence

from worker.lr_schedules.warm_up import warmed_up


def step(
    step: int, total_steps: int, *, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1, warm_up: float = 0.0
) -> float:
    """factor^(number of points passed); a point a is passed once more than a · total_steps steps are begun.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        at: points as shares of the run, each in [0, 1].
        factor: what the rate is multiplied by at each, at least 0.
        warm_up: share of the run over which the rate first grows linearly, in [0, 1].

    Returns:
        What the optimizer's learning rate is multiplied by at `step`.
    """
    return warmed_up(step, total_steps, warm_up) * factor ** sum(step > point * total_steps for point in at)
