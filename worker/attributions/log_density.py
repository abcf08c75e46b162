"""The gradient of the log marginal density, which smoothing penalises."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def log_density(model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor | None) -> Tensor:
    """Return ∇ₓ log p(x) = ∇ₓ logsumexp f(x) = Σ_y softmax_y(f(x)) ∇ₓ f_y(x) (Yang, Akhtar, Shah, Mian, ECCV 2024).

    Args:
        model: gives logits (N, K), sample by sample.
        x: (N, C, H, W).
        target: not used, since log p(x) does not depend on a class.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.
    """
    with torch.enable_grad():
        inputs = x.detach().requires_grad_()
        (attributions,) = torch.autograd.grad(model(inputs).logsumexp(dim=1).sum(), inputs)
    return attributions
