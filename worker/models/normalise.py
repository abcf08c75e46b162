"""Normalisation as the first layer of a model, so that gradients and attacks are in [0, 1] image space."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Normalise(torch.nn.Module):
    """(x − mean) / std per channel, for x (N, C, H, W) in [0, 1].

    Args:
        mean: C means on the [0, 1] scale.
        std: C standard deviations on the [0, 1] scale, above 0.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise ValueError(f"expected one mean and one std above 0 per channel, got mean {mean} and std {std}")
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return normalised images, shaped like x."""
        return (x - self.mean) / self.std
