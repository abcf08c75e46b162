"""Step schedule of the learning rate."""

from __future__ import annotations

from collections.abc import Sequence

from densitylab.worker.lr_schedules.warm_up import warmed_up


def step(
    step: int, total_steps: int, *, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1, warm_up: float = 0.0
) -> float:
    """Return factor^(number of points passed); a point a is passed if step > a · total_steps.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        at: points as fractions of the run, each in [0, 1].
        factor: of the rate at each point, at least 0.
        warm_up: fraction of the run over which the rate first grows linearly, in [0, 1].

    Returns:
        The factor of the optimizer's learning rate at `step`.
    """
    return warmed_up(step, total_steps, warm_up) * factor ** sum(step > point * total_steps for point in at)
