"""A learning rate that falls along half a cosine."""

from __future__ import annotations

from math import cos, pi

from worker.lr_schedules.warm_up import warmed_up


def cosine(step: int, total_steps: int, *, end: float = 0.0, warm_up: float = 0.0) -> float:
    """end + (1 − end) · (1 + cos πu) / 2, with u = 0 while it warms up and growing linearly to 1 at the last step.

    Loshchilov & Hutter 2017, without restarts.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        end: at the last step, as a share of the optimizer's rate, at least 0.
        warm_up: share of the run over which the rate first grows linearly, in [0, 1].

    Returns:
        What the optimizer's learning rate is multiplied by at `step`.
    """
    first = max(1.0, warm_up * total_steps)  # the step at which the rate is whole
    done = max(0.0, step - first) / max(1.0, total_steps - first)
    return warmed_up(step, total_steps, warm_up) * (end + (1 - end) * (1 + cos(pi * done)) / 2)
