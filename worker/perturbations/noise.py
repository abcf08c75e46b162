"""Gaussian noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worker.perturbations.perturbed import Perturbed


def noise(
    model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor, *, sigma: float = 0.05,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """x + sigma · N(0, I), clamped to [0, 1].

    Every image meets the same noise, so that what becomes of it does not depend on the images beside it.

    Args:
        model: not used.
        x: (N, C, H, W) in [0, 1].
        target: not used.
        sigma: standard deviation on the [0, 1] pixel scale, at least 0.
        generator: draws the noise.

    Returns:
        the noisy images.
    """
    device = x.device if generator is None else generator.device
    drawn = torch.randn(x.shape[1:], dtype=x.dtype, device=device, generator=generator).to(x.device)
    return Perturbed((x + sigma * drawn).clamp(0.0, 1.0))
