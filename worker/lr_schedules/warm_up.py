"""Linear warm-up for any schedule of the learning rate."""

from __future__ import annotations


def warmed_up(step: int, total_steps: int, share: float) -> float:
    """Return step / (share · total_steps), at most 1: the factor of a linear warm-up.

    Args:
        step: from 1 to `total_steps`.
        total_steps: of the run.
        share: fraction of the run, in [0, 1]; 0 gives 1 from the first step on.
    """
    return min(1.0, step / (share * total_steps)) if share > 0 else 1.0
