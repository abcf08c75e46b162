"""λ steered so that the input gradient of log p(x) gets a stated norm (ours)."""

from __future__ import annotations

from math import exp, sqrt

from worker.schedules.seen import Seen

RATE = 0.05
LOWEST, HIGHEST = 1e-6, 1e3  # bounds, so that an aim that can't be met does not carry λ out of reach


def target(lambda_: float, step: int, total_steps: int, seen: Seen, *, gradient_norm: float = 0.4) -> float:
    """log λ ← log λ + 0.05 · clip((R − t) / t, ±1) after each step, R the running root mean square of ‖∇ log p(x)‖₂.

    λ stays between 1e-6 and 1e3 (or where it began, if that lies outside).

    Args:
        lambda_: λ at the first step; 0 stays 0.
        step: not used.
        total_steps: not used.
        seen: the λ before, and the running mean of ‖∇ log p(x)‖₂².
        gradient_norm: t, the norm to reach, per unit of [0, 1] pixels, above 0.

    Returns:
        The λ in force.
    """
    if seen.lambda_ is None or seen.squared_gradient_norm is None or lambda_ == 0:
        return lambda_
    excess = (sqrt(seen.squared_gradient_norm) - gradient_norm) / gradient_norm
    moved = seen.lambda_ * exp(RATE * max(-1.0, min(1.0, excess)))
    return max(min(LOWEST, lambda_), min(moved, max(HIGHEST, lambda_)))
