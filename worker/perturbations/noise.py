"""Gaussian noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.perturbations.perturbed import Perturbed


def noise(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    *,
    sigma: float = 0.05,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Return x + sigma · N(0, I), clamped to [0, 1].

    Every image gets the same noise, so that the result for an image does not depend on the other images.

    Args:
        model: not used.
        x: (N, C, H, W) in [0, 1].
        target: not used.
        sigma: standard deviation on the [0, 1] pixel scale, at least 0.
        generator: draws the noise.

    Returns:
        The noisy images.
    """
    device = x.device if generator is None else generator.device
    drawn = torch.randn(x.shape[1:], dtype=x.dtype, device=device, generator=generator).to(x.device)
    return Perturbed((x + sigma * drawn).clamp(0.0, 1.0))
