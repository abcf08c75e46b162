"""λ controlled so that the input gradient of log p(x) reaches a given norm (ours)."""

from __future__ import annotations

from math import exp, sqrt

from densitylab.worker.schedules.controller_state import ControllerState

RATE = 0.05
LOWEST, HIGHEST = 1e-6, 1e3  # bounds of λ, for targets that can't be reached


def target(lambda_: float, step: int, total_steps: int, state: ControllerState, *, gradient_norm: float = 0.4) -> float:
    """Update log λ ← log λ + 0.05 · clip((R − t) / t, ±1) after each step, R the running RMS of ‖∇ log p(x)‖₂.

    λ stays between 1e-6 and 1e3 (or its first value, if that is outside).

    Args:
        lambda_: λ at the first step; 0 stays 0.
        step: not used.
        total_steps: not used.
        state: the previous λ, and the running mean of ‖∇ log p(x)‖₂².
        gradient_norm: t, the norm to reach, per unit of [0, 1] pixels, above 0.

    Returns:
        The λ of this step.
    """
    if state.lambda_ is None or state.squared_gradient_norm is None or lambda_ == 0:
        return lambda_
    excess = (sqrt(state.squared_gradient_norm) - gradient_norm) / gradient_norm
    moved = state.lambda_ * exp(RATE * max(-1.0, min(1.0, excess)))
    return max(min(LOWEST, lambda_), min(moved, max(HIGHEST, lambda_)))
