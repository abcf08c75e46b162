"""λ that jumps at stated points of the run."""

from __future__ import annotations

from collections.abc import Sequence

from worker.schedules.seen import Seen


def step(
    lambda_: float, step: int, total_steps: int, seen: Seen, *, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1
) -> float:
    """λ · factor^(number of points passed); a point a is passed once more than a · total_steps steps are begun.

    Args:
        lambda_: λ at the beginning.
        step: from 1 to `total_steps`.
        total_steps: of the run.
        seen: not used.
        at: points as shares of the run, each in [0, 1].
        factor: what λ is multiplied by at each, at least 0.

    Returns:
        The λ in force at `step`.
    """
    return lambda_ * factor ** sum(step > point * total_steps for point in at)
