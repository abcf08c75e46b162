"""CutMix: a rectangle of another image pasted into each image (Yun et al. 2019)."""

from __future__ import annotations

import torch

from densitylab.worker.augmentations.mixed import Mixed, draw_shares


def cutmix(images: torch.Tensor, *, alpha: float = 1.0, generator: torch.Generator) -> Mixed:
    """Return each image with a rectangle of its partner at the same place.

    With s ~ Beta(alpha, alpha) the rectangle has √(1 − s) of each side and a random centre; what lies outside of the
    image is cut off, and the share is what remains of the image, in pixels. The partners are a permutation of the
    batch.

    Args:
        images: (N, C, H, W), on any device.
        alpha: above 0; 1 makes all sizes of rectangles equally likely.
        generator: on the CPU, for the same draws on every device.
    """
    count, _, height, width = images.shape
    partner = torch.randperm(count, generator=generator).to(images.device)
    side = (1 - draw_shares(count, alpha, generator)).sqrt()
    centre = torch.rand(2, count, generator=generator)
    pasted = (_inside(side, centre[0], height).unsqueeze(2) & _inside(side, centre[1], width).unsqueeze(1)).to(
        images.device
    )  # (N, H, W)
    share = 1 - pasted.flatten(1).float().mean(dim=1)
    return Mixed(torch.where(pasted.unsqueeze(1), images[partner], images), partner, share)


def _inside(side: torch.Tensor, centre: torch.Tensor, pixels: int) -> torch.Tensor:
    """Return (N, pixels) bool: which pixels lie in intervals of relative length `side` around relative `centre`."""
    first = ((centre - side / 2) * pixels).round().unsqueeze(1)
    last = ((centre + side / 2) * pixels).round().unsqueeze(1)
    at = torch.arange(pixels)
    return (first <= at) & (at < last)
