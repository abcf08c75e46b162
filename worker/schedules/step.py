"""Step schedule of λ."""

from __future__ import annotations

from collections.abc import Sequence

from densitylab.worker.schedules.controller_state import ControllerState


def step(
    lambda_: float,
    step: int,
    total_steps: int,
    state: ControllerState,
    *,
    at: Sequence[float] = (0.5, 0.75),
    factor: float = 0.1,
) -> float:
    """Return λ · factor^(number of points passed); a point a is passed if step > a · total_steps.

    Args:
        lambda_: λ at the beginning.
        step: from 1 to `total_steps`.
        total_steps: of the run.
        state: not used.
        at: points as fractions of the run, each in [0, 1].
        factor: of λ at each point, at least 0.

    Returns:
        The λ of this step.
    """
    return lambda_ * factor ** sum(step > point * total_steps for point in at)
