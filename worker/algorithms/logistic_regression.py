"""Multinomial logistic regression with an L1 penalty, by accelerated proximal gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F

_POWER_STEPS = 50
_MARGIN = 1.05  # of the largest eigenvalue, which the power method approaches from below


def l1_logistic_regression(
    x: torch.Tensor,
    y: torch.Tensor,
    num_classes: int,
    *,
    c: float,
    tolerance: float = 1e-5,
    max_steps: int = 3000,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight W (K, D) and bias b (K,) that minimise c · Σ CE(W x + b, y) + Σ |W|, float64.

    It is the objective of scikit-learn's LogisticRegression with the same C and a bias without penalty; with two
    classes the difference of the rows of W is its single row of coefficients. Solved by FISTA (Beck, Teboulle 2009)
    with restarts where the objective would rise (O'Donoghue, Candès 2015).

    Args:
        x: (M, D) features, float64, of similar scales.
        y: (M,) classes.
        num_classes: K.
        c: inverse strength of the penalty, above 0.
        tolerance: largest change of a coefficient in one step at which it ends, relative to the largest coefficient
            or 1.
        max_steps: after which it ends in any case.
    """
    inputs = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    target = F.one_hot(y, num_classes).double()
    # the Hessian of log-sum-exp is at most 1/2
    step = 2 / (_MARGIN * _largest_eigenvalue(inputs))
    threshold = torch.full((inputs.shape[1], 1), step / c, dtype=torch.float64)
    threshold[-1] = 0  # of the bias
    current = torch.zeros(inputs.shape[1], num_classes, dtype=torch.float64)
    ahead, momentum = current, 1.0
    for _ in range(max_steps):
        gradient = inputs.T @ (torch.softmax(inputs @ ahead, dim=1) - target)
        moved = ahead - step * gradient
        following = moved.sign() * (moved.abs() - threshold).clamp_min(0)
        change = following - current
        if ((ahead - following) * change).sum() > 0:
            momentum = 1.0
        next_momentum = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = following + (momentum - 1) / next_momentum * change
        current, momentum = following, next_momentum
        if change.abs().max() <= tolerance * max(1.0, float(current.abs().max())):
            break
    return current[:-1].T.contiguous(), current[-1].clone()


def _largest_eigenvalue(inputs: torch.Tensor) -> float:
    """Return that of inputsᵀ inputs, by the power method from the sum of the rows."""
    vector = inputs.sum(dim=0)
    for _ in range(_POWER_STEPS):
        vector = inputs.T @ (inputs @ (vector / vector.norm()))
    return float(vector.norm())
