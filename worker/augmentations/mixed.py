"""Batches whose images are mixtures of two images of the batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch


class Mixed(NamedTuple):
    """Mixed images, and what each is made of: `share` of the image in its own place, the rest of its partner."""

    images: torch.Tensor  # (N, C, H, W)
    partner: torch.Tensor  # (N,) int64, on the device of the images
    share: torch.Tensor  # (N,) float32 in [0, 1], on the device of the images


def draw_shares(count: int, alpha: float, generator: torch.Generator) -> torch.Tensor:
    """Return (count,) float32 draws of Beta(alpha, alpha), on the CPU."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count)).float()
