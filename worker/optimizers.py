"""Optimizers on offer: `build(parameters, *, ...) -> torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def adam(
    parameters: Iterable[torch.nn.Parameter], *, lr: float = 0.001, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015) with β = (0.9, 0.999)."""
    return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)


def sgd(
    parameters: Iterable[torch.nn.Parameter], *, lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with heavy-ball momentum."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
