"""The median rule: at which epoch a trial has fallen behind earlier ones.

It is the rule of Optuna's MedianPruner (Golovin et al., *Google Vizier*, KDD 2017), which the tests compare it with.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median

Curve = Mapping[int, float]  # value by epoch


def medians(curves: Sequence[Curve]) -> dict[int, float]:
    """Return the median of the curves at each epoch, of those that have a value there."""
    epochs = sorted({epoch for curve in curves for epoch in curve})
    return {epoch: median(curve[epoch] for curve in curves if epoch in curve) for epoch in epochs}


def pruned_at(curve: Curve, earlier: Curve, *, higher: bool, warmup_epochs: int) -> int | None:
    """Return the first epoch at which the best value of the curve so far is worse than the median of earlier curves;
    None where there is none.

    It looks at nothing behind the epoch that it returns, so a curve that is stopped there gives the same answer.

    Args:
        curve: of the trial, as far as it is known.
        earlier: the medians of complete trials.
        higher: whether more is better.
        warmup_epochs: epochs at the beginning that are not judged.
    """
    sign = 1 if higher else -1
    best = -math.inf
    for epoch in sorted(curve):
        best = max(best, sign * curve[epoch])
        if epoch > warmup_epochs and epoch in earlier and best < sign * earlier[epoch]:
            return epoch
    return None
