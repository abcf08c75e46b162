"""Weight averaging: an exponential moving average of weights and running statistics."""

from __future__ import annotations

import torch


@torch.no_grad()
def update(average: torch.nn.Module, model: torch.nn.Module, *, decay: float, step: int) -> None:
    """Update average ← d · average + (1 − d) · model with d = min(decay, (1 + step) / (10 + step)).

    The smaller first decays forget the initial weights even in a short run, as TensorFlow's ExponentialMovingAverage
    does with `num_updates`. Counters, such as batch norm's, are copied.

    Args:
        average: a copy of `model`, changed in place.
        model: after `step` optimizer steps.
        decay: in [0, 1); 0.999 averages over about the last thousand steps.
        step: from 1.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)
        else:
            mean.copy_(value)
