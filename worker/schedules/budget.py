"""λ as large as a stated cross-entropy allows (ours)."""

from __future__ import annotations

from math import exp

from worker.schedules.seen import Seen

RATE = 0.05
HIGHEST = 1e3


def budget(
    lambda_: float,
    step: int,
    total_steps: int,
    seen: Seen,
    *,
    cross_entropy: float = 0.3,
    wait: float = 0.2,
) -> float:
    """λ waits, then log λ ← log λ + 0.05 · clip((b − CE) / b, ±1) after each step.

    CE is the running mean over the training batches; λ stays in [λ₀ / 100, 1e3] (at most λ₀, if that is more). It
    waits until CE has been ≤ b once, but no longer than `wait`: where λ₀ itself forbids the budget, CE never gets
    there.

    Args:
        lambda_: λ₀, the λ at the first step; 0 stays 0.
        step: from 1 to `total_steps`.
        total_steps: of the run.
        seen: the λ before, and the running cross-entropy.
        cross_entropy: b in nats, above 0.
        wait: the longest wait, as a share of the run in [0, 1]; 1 waits for ever.

    Returns:
        The λ in force.
    """
    if seen.lambda_ is None or seen.cross_entropy is None or seen.lowest_cross_entropy is None:
        return lambda_
    if seen.lowest_cross_entropy > cross_entropy and step <= wait * total_steps:
        return lambda_
    spare = (cross_entropy - seen.cross_entropy) / cross_entropy
    moved = seen.lambda_ * exp(RATE * max(-1.0, min(1.0, spare)))
    return max(lambda_ / 100, min(moved, max(HIGHEST, lambda_)))
