"""The gradient times the image."""

from __future__ import annotations

from collections.abc import Callable

from captum.attr import InputXGradient
from torch import Tensor


def input_x_gradient(model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor) -> Tensor:
    """Return x · ∇ₓ f_t(x) (Shrikumar, Greenside, Kundaje 2016), by Captum. Zero on black pixels by construction.

    Args:
        model: gives logits (N, K), sample by sample.
        x: (N, C, H, W).
        target: (N,) class indices.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.
    """
    return InputXGradient(model).attribute(x.detach().requires_grad_(), target=target).detach()
