"""λ as large as a given cross-entropy allows (ours)."""

from __future__ import annotations

from math import exp

from densitylab.worker.schedules.controller_state import ControllerState

RATE = 0.05
HIGHEST = 1e3


def budget(
    lambda_: float,
    step: int,
    total_steps: int,
    state: ControllerState,
    *,
    cross_entropy: float = 0.3,
    wait: float = 0.2,
) -> float:
    """Keep λ for a while, then log λ ← log λ + 0.05 · clip((b − CE) / b, ±1) after each step.

    CE is the running mean over the training batches; λ stays in [λ₀ / 100, 1e3] (at most λ₀, if that is more). λ
    stays at λ₀ until CE ≤ b for the first time, but no longer than `wait`: if λ₀ is too large for the budget, CE never
    reaches it.

    Args:
        lambda_: λ₀, the λ at the first step; 0 stays 0.
        step: from 1 to `total_steps`.
        total_steps: of the run.
        state: the previous λ, and the running cross-entropy.
        cross_entropy: b in nats, above 0.
        wait: the longest wait, as a fraction of the run in [0, 1]; 1 waits until the end.

    Returns:
        The λ of this step.
    """
    if state.lambda_ is None or state.cross_entropy is None or state.lowest_cross_entropy is None:
        return lambda_
    if state.lowest_cross_entropy > cross_entropy and step <= wait * total_steps:
        return lambda_
    spare = (cross_entropy - state.cross_entropy) / cross_entropy
    moved = state.lambda_ * exp(RATE * max(-1.0, min(1.0, spare)))
    return max(lambda_ / 100, min(moved, max(HIGHEST, lambda_)))
