"""A random map, the control of measures of maps."""

from __future__ import annotations

import torch
from torch import Tensor


def random_map(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return independent normal numbers; their absolute values for a map without negative values."""
    drawn = torch.randn(like.shape, generator=generator, device=generator.device).to(like.device, like.dtype)
    signed = (like < 0).flatten(1).any(dim=1)[:, None, None, None]
    return torch.where(signed, drawn, drawn.abs())
