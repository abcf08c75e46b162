"""Data sets as training, attacks and evaluations use them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Dataset:
    """One split of a data set.

    Args:
        images: (N, C, H, W) uint8, grey or colour levels 0-255; x / 255 lies in [0, 1].
        labels: (N,) int64, classes counted from 0.
        masks: (N, 1, H, W) bool, True on the null part, which is independent of the label; None if there is no
            such part.
        groups: (N,) int64, the sub-population of each image; None if there are none.
    """

    images: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor | None = None
    groups: torch.Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return self.images.shape[0]


@dataclass(frozen=True)
class PreparedInfo:
    """Facts of a prepared data set.

    Args:
        data_hash: sha256 (hex) over all arrays of all splits; runs with different hashes used different data.
        sizes: images per split.
        class_counts: per split, images per class, in the order of the classes.
        mean: per-channel mean of the training images on the [0, 1] scale.
        std: per-channel standard deviation of the training images on the [0, 1] scale.
        group_counts: per split, images per group, in the order of the groups; empty if there are none.
        files: sha256 (hex) of each file, by its path in the folder; empty for one that was prepared without.
    """

    data_hash: str
    sizes: dict[str, int]
    class_counts: dict[str, list[int]]
    mean: list[float]
    std: list[float]
    group_counts: dict[str, list[int]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
