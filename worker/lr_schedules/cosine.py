"""Cosine schedule of the learning rate."""

from __future__ import annotations

from math import cos, pi

from densitylab.worker.lr_schedules.warm_up import warmed_up


def cosine(step: int, total_steps: int, *, end: float = 0.0, warm_up: float = 0.0) -> float:
    """Return end + (1 − end) · (1 + cos πu) / 2, with u = 0 during the warm-up, then growing to 1.

    Loshchilov & Hutter 2017, without restarts.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        end: at the last step, as a fraction of the optimizer's rate, at least 0.
        warm_up: fraction of the run over which the rate first grows linearly, in [0, 1].

    Returns:
        The factor of the optimizer's learning rate at `step`.
    """
    first = max(1.0, warm_up * total_steps)  # the first step at the full rate
    done = max(0.0, step - first) / max(1.0, total_steps - first)
    return warmed_up(step, total_steps, warm_up) * (end + (1 - end) * (1 + cos(pi * done)) / 2)
