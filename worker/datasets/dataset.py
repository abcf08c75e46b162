"""The one shape in which every data set reaches training, attacks and evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Dataset:
    """One split of a data set.

    Args:
        images: (N, C, H, W) uint8, grey or colour levels 0-255; x / 255 lies in [0, 1].
        labels: (N,) int64, classes counted from 0.
        masks: (N, 1, H, W) bool, True on the null part, where no information about the label is;
            None where the data set knows no such part.
        groups: (N,) int64, the sub-population an image belongs to; None where there is none.
    """

    images: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor | None = None
    groups: torch.Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return self.images.shape[0]
