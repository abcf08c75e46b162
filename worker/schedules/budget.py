"""λ as large as a stated cross-entropy allows (ours)."""

from __future__ import annotations

from math import exp

from worker.schedules.seen import Seen

RATE = 0.05
HIGHEST = 1e3


def budget(lambda_: float, step: int, total_steps: int, seen: Seen, *, cross_entropy: float = 0.3) -> float:
    """λ stays until the running cross-entropy has been ≤ b once; then log λ ← log λ + 0.05 · clip((b − CE) / b, ±1).

    CE is the running mean over the training batches; λ stays in [λ₀ / 100, 1e3] (at most λ₀, if that is more).

    Args:
        lambda_: λ₀, the λ at the first step; 0 stays 0.
        step: not used.
        total_steps: not used.
        seen: the λ before, and the running cross-entropy.
        cross_entropy: b in nats, above 0.

    Returns:
        The λ in force.
    """
    lowest = seen.lowest_cross_entropy
    if seen.lambda_ is None or seen.cross_entropy is None or lowest is None or lowest > cross_entropy:
        return lambda_
    spare = (cross_entropy - seen.cross_entropy) / cross_entropy
    moved = seen.lambda_ * exp(RATE * max(-1.0, min(1.0, spare)))
    return max(lambda_ / 100, min(moved, max(HIGHEST, lambda_)))
