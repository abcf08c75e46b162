"""Mixup: convex combinations of pairs of images (Zhang et al. 2018)."""

from __future__ import annotations

import torch

from densitylab.worker.augmentations.mixed import Mixed, draw_shares


def mixup(images: torch.Tensor, *, alpha: float = 0.2, generator: torch.Generator) -> Mixed:
    """Return s · image + (1 − s) · partner for each image, with s ~ Beta(alpha, alpha) and a random partner each.

    The partners are a permutation of the batch, so an image may be its own.

    Args:
        images: (N, C, H, W) float, on any device.
        alpha: above 0; small values leave most images nearly as they are.
        generator: on the CPU, for the same draws on every device.
    """
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    share = draw_shares(len(images), alpha, generator).to(images.device)
    weight = share.view(-1, 1, 1, 1)
    return Mixed(weight * images + (1 - weight) * images[partner], partner, share)
