"""Random horizontal flips."""

from __future__ import annotations

import torch


def horizontal_flip(images: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """Mirror each image left to right with probability 1/2.

    Args:
        images: (N, C, H, W), of any type, on any device.
        generator: on the CPU, for the same draws on every device.

    Returns:
        New images like `images`.
    """
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
