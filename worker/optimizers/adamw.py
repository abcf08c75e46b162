"""AdamW: Adam with decoupled weight decay (Loshchilov, Hutter 2019)."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def adamw(
    parameters: Iterable[torch.nn.Parameter], *, lr: float = 0.001, weight_decay: float = 0.01
) -> torch.optim.Optimizer:
    """Return AdamW with β = (0.9, 0.999), which shrinks the weights by lr · weight_decay at each step.

    Args:
        parameters: to optimize.
        lr: learning rate, above 0.
        weight_decay: at least 0; it does not enter the moments.
    """
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
