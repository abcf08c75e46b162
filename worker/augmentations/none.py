"""No augmentation."""

from __future__ import annotations

import torch


def none(images: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """Return the images unchanged, (N, C, H, W); `generator` is not used."""
    return images
