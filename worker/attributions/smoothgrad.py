"""The gradient averaged over noisy copies of the image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from captum.attr import NoiseTunnel, Saliency
from torch import Tensor


def smoothgrad(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    *,
    samples: int = 16,
    sigma: float = 0.1,
    seed: int = 0,
) -> Tensor:
    """Return the mean of ∇f_t(x + σ·N(0, I)) (Smilkov et al. 2017), by Captum's NoiseTunnel over Saliency, abs=False.

    Every image gets the same noise, from `seed`: its map does not depend on the other images, and maps of two models
    differ only because of the models. The global random state is restored.

    Args:
        model: gives logits (N, K), sample by sample.
        x: (N, C, H, W).
        target: (N,) class indices.
        samples: noisy copies, at least 1.
        sigma: standard deviation of the noise on the [0, 1] pixel scale.
        seed: of the noise.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.
    """
    tunnel = NoiseTunnel(Saliency(model))
    attributions = torch.empty_like(x)
    # manual_seed changes the state of every CUDA device in use, so all are restored
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        for index in range(len(x)):
            torch.manual_seed(seed)
            one = x[index : index + 1].detach().requires_grad_()
            attributions[index] = tunnel.attribute(
                one,
                nt_type="smoothgrad",
                nt_samples=samples,
                stdevs=sigma,
                target=target[index : index + 1],
                abs=False,
            )[0].detach()
    return attributions
