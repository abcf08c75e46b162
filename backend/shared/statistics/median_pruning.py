"""The median rule: at which epoch a trial has fallen behind earlier ones."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

Curve = Mapping[int, float]  # value by epoch


def pruned_at(
    curve: Curve, earlier: Sequence[Curve], *, higher: bool, startup_trials: int, warmup_epochs: int
) -> int | None:
    """Return the first epoch at which the best value of the curve so far is worse than the median of the earlier curves
    at that epoch; None where there is none.

    The rule is Optuna's MedianPruner (Golovin et al., *Google Vizier*, KDD 2017), which the tests compare it with. It
    looks at nothing behind the epoch that it returns, so a curve that is stopped there gives the same answer.

    Args:
        curve: of the trial, as far as it is known.
        earlier: of complete trials.
        higher: whether more is better.
        startup_trials: smallest number of earlier curves; with fewer no trial is pruned.
        warmup_epochs: epochs at the beginning that are not judged.
    """
    if len(earlier) < startup_trials:
        return None
    sign = 1 if higher else -1
    best = -math.inf
    for epoch in sorted(curve):
        best = max(best, sign * curve[epoch])
        others = [sign * known[epoch] for known in earlier if epoch in known]
        if epoch > warmup_epochs and others and best < median(others):
            return epoch
    return None
