"""The linear start that every schedule of the learning rate may have."""

from __future__ import annotations


def warmed_up(step: int, total_steps: int, share: float) -> float:
    """step / (share · total_steps), at most 1: a learning rate that grows linearly over a share of the run.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        share: in [0, 1]; 0 gives 1 from the first step on.
    """
    return min(1.0, step / (share * total_steps)) if share > 0 else 1.0
