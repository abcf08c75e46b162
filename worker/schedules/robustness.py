"""λ controlled so that an attack leaves a given share of the right answers on validation images right (ours)."""

from __future__ import annotations

from math import exp

from densitylab.worker.schedules.controller_state import ControllerState

RATE = 0.5
LOWEST, HIGHEST = 1e-6, 1e3  # bounds of λ, for shares that can't be reached


def robustness(
    lambda_: float, step: int, total_steps: int, state: ControllerState, *, robust_share: float = 0.5
) -> float:
    """Update log λ ← log λ + 0.5 · clip((t − s) / t, ±1) at the first step after each measurement of s.

    s = A_ε / A_0: of the validation images that are classified correctly, the share that still is under attack. A
    larger λ does not raise the accuracy A_ε itself beyond some λ, since it costs accuracy; s goes on rising. λ stays
    between 1e-6 and 1e3 (or its first value, if that is outside).

    Args:
        lambda_: λ at the first step; 0 stays 0.
        step: not used.
        total_steps: not used.
        state: the previous λ, and s where it was measured after the previous step.
        robust_share: t, the share to reach, above 0 and at most 1.

    Returns:
        The λ of this step.
    """
    if state.lambda_ is None or lambda_ == 0:
        return lambda_
    if state.robust_share is None:
        return state.lambda_
    missing = (robust_share - state.robust_share) / robust_share
    moved = state.lambda_ * exp(RATE * max(-1.0, min(1.0, missing)))
    return max(min(LOWEST, lambda_), min(moved, max(HIGHEST, lambda_)))
