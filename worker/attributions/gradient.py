"""The gradient of the target's logit."""

from __future__ import annotations

from collections.abc import Callable

from captum.attr import Saliency
from torch import Tensor


def gradient(model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor) -> Tensor:
    """Return ∇ₓ f_t(x), signed (Simonyan, Vedaldi, Zisserman 2014), by Captum's Saliency with abs=False.

    Args:
        model: gives logits (N, K), sample by sample.
        x: (N, C, H, W).
        target: (N,) class indices.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.
    """
    inputs = x.detach().requires_grad_()
    return Saliency(model).attribute(inputs, target=target, abs=False).detach()
