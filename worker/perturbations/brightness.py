"""Brighter or darker images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.perturbations.perturbed import Perturbed


def brightness(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    *,
    amount: float = 0.1,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Return x + amount at every pixel, clamped to [0, 1].

    Args:
        model: not used.
        x: (N, C, H, W) in [0, 1].
        target: not used.
        amount: −1 to 1, on the [0, 1] pixel scale; below 0 darkens.
        generator: not used.

    Returns:
        The changed images.
    """
    return Perturbed((x + amount).clamp(0.0, 1.0))
