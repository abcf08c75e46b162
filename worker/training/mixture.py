"""Labels of mixed images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from densitylab.worker.augmentations.mixed import Mixed


@dataclass(frozen=True)
class Mixture:
    """What the images of a batch have besides their label, which is that of the image with the larger share.

    Args:
        other: (n,) label of the image with the smaller share.
        share: (n,) in [1/2, 1] of the label.
    """

    other: torch.Tensor
    share: torch.Tensor

    def part(self, rows: slice) -> Mixture:
        """Return the same of some of the images."""
        return Mixture(self.other[rows], self.share[rows])

    def of(self, given: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return share · given + (1 − share) · other, all (n,)."""
        return self.share * given + (1 - self.share) * other


def larger(mixed: Mixed) -> torch.Tensor:
    """Return (n,) the index in the batch of the image that has the larger share of each mixed image."""
    own = torch.arange(len(mixed.partner), device=mixed.partner.device)
    return torch.where(mixed.share >= 0.5, own, mixed.partner)


def mixture_of(labels: torch.Tensor, mixed: Mixed) -> tuple[torch.Tensor, Mixture]:
    """Return the labels (n,) of the images with the larger shares, and the mixture."""
    y, partner = labels, labels[mixed.partner]
    first = mixed.share >= 0.5
    share = torch.where(first, mixed.share, 1 - mixed.share)
    return torch.where(first, y, partner), Mixture(torch.where(first, partner, y), share)
