"""Adam (Kingma, Ba 2015)."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def adam(
    parameters: Iterable[torch.nn.Parameter], *, lr: float = 0.001, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Return Adam with β = (0.9, 0.999).

    Args:
        parameters: to optimize.
        lr: learning rate, above 0.
        weight_decay: coefficient of the L2 penalty, at least 0.
    """
    return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
