"""GradientSHAP with a black baseline: gradients at random points between it and the noisy image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import GradientShap
from torch import Tensor


def gradient_shap(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    *,
    samples: int = 16,
    sigma: float = 0.1,
    seed: int = 0,
) -> Tensor:
    """Return the mean of (x + σε) · ∇f_t(a(x + σε)), a uniform in [0, 1] (Lundberg, Lee 2017), by Captum.

    Every image gets the same draws, from `seed`: its map does not depend on the other images. The global
    random states of torch and numpy are restored.

    Args:
        model: gives logits (N, K), sample by sample.
        x: (N, C, H, W).
        target: (N,) class indices.
        samples: draws for each image, at least 1.
        sigma: standard deviation of the noise on the [0, 1] pixel scale.
        seed: of the draws.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.
    """
    shap = GradientShap(model)
    attributions = torch.empty_like(x)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    state = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            for index in range(len(x)):
                torch.manual_seed(seed)
                np.random.seed(seed)  # Captum draws a from numpy
                one = x[index : index + 1].detach()
                attributions[index] = shap.attribute(
                    one,
                    torch.zeros_like(one),
                    n_samples=samples,
                    stdevs=sigma,
                    target=target[index : index + 1],
                )[0].detach()
    finally:
        np.random.set_state(state)
    return attributions
