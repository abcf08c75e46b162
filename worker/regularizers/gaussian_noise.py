"""Training on noisy images, written as a penalty."""

from __future__ import annotations

from math import isfinite

import torch

from worker.regularizers.marginal_density import (
    random_state,
    refuse_fresh_masks,
    require_generator,
    running_statistics_kept,
    widen,
)


def gaussian_noise(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    sigma: float = 0.1,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """CE(f(x′), y) − CE(f(x), y) of each sample, x′ = x + σ·N(0, I), not clamped.

    So λ = 1 is training on noisy images alone. The noisy forward uses the batch's statistics (the running ones do
    not move) and the dropout masks of the first, so call it inside `replay`. A step costs 6 passes,
    where a plain one is 3.

    Args:
        model: gives logits (N, K).
        x: (N, ...) images in [0, 1].
        logits: (N, K) model(x), with their graph.
        y: (N,) labels.
        sigma: standard deviation of the noise in [0, 1] pixel units, at least 0.
        generator: draws the noise.

    Returns:
        (N,) penalties in float32 (float64 for float64 models); they may be negative.

    Raises:
        ValueError: sigma is negative, or there is no generator.
        RuntimeError: the noisy forward drew random numbers outside `replay`.
    """
    if not (isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma must be a finite number of at least 0, got {sigma!r}")
    require_generator(generator, "gaussian_noise")
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
    state = random_state(x.device)
    with running_statistics_kept(model):
        noisy = model(x.detach() + sigma * noise)
    refuse_fresh_masks(state, "gaussian_noise")
    return cross_entropy_per_sample(noisy, y) - cross_entropy_per_sample(logits, y)


def cross_entropy_per_sample(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(N,) −log softmax_y, in float32 at least."""
    return torch.nn.functional.cross_entropy(widen(logits), y, reduction="none")
