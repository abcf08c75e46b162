"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def sgd(
    parameters: Iterable[torch.nn.Parameter], *, lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Return stochastic gradient descent with heavy-ball momentum.

    Args:
        parameters: to optimize.
        lr: learning rate, above 0.
        momentum: in [0, 1).
        weight_decay: coefficient of the L2 penalty, at least 0.
    """
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
