"""Training on noisy images, written as a penalty."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import torch

from densitylab.worker.autograd import (
    frozen_running_statistics,
    random_state,
    require_generator,
    require_no_rng_use,
    upcast,
)


def gaussian_noise(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    sigma: float = 0.1,
    cross_entropy: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return CE(f(x′), y) − CE(f(x), y) of each sample, x′ = x + σ·N(0, I), not clamped.

    With λ = 1 this is training on noisy images only. The noisy forward uses the batch's statistics (the running ones
    are not updated) and the dropout masks of the first, so call the penalty inside `replay`. A step costs 6 passes, a
    plain step 3.

    Args:
        model: gives logits (N, K).
        x: (N, ...) images in [0, 1].
        logits: (N, K) model(x), with their graph.
        y: (N,) labels.
        sigma: standard deviation of the noise in [0, 1] pixel units, at least 0.
        cross_entropy: (logits, y) -> (N,), that of the training, with its label smoothing and class weights; None: the
            plain one.
        generator: draws the noise.

    Returns:
        (N,) penalties in float32 (float64 for float64 models); they may be negative.

    Raises:
        ValueError: sigma is negative, or there is no generator.
        RuntimeError: the noisy forward drew random numbers outside `replay`.
    """
    if not (isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma must be a finite number of at least 0, got {sigma!r}")
    generator = require_generator(generator, "gaussian_noise")
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
    state = random_state(x.device)
    with frozen_running_statistics(model):
        noisy = model(x.detach() + sigma * noise)
    require_no_rng_use(state, "gaussian_noise")
    loss = cross_entropy or cross_entropy_per_sample
    return loss(noisy, y) - loss(logits, y)


def cross_entropy_per_sample(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return (N,) −log softmax_y, in float32 at least."""
    return torch.nn.functional.cross_entropy(upcast(logits), y, reduction="none")
