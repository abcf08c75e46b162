"""No augmentation: every image as it is stored."""

from __future__ import annotations

import torch


def none(images: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """The images themselves, (N, C, H, W); `generator` is not used."""
    return images
