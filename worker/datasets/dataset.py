"""Data sets as training, attacks and evaluations use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Attribute:
    """A property of every image of a split.

    Args:
        values: names of its values, in order.
        codes: (N,) int64, the index of each image's value.
    """

    values: tuple[str, ...]
    codes: torch.Tensor


@dataclass(frozen=True)
class Dataset:
    """One split of a data set.

    Args:
        images: (N, C, H, W) uint8, grey or colour levels 0-255; x / 255 lies in [0, 1].
        labels: (N,) int64, classes counted from 0.
        masks: (N, 1, H, W) bool, True on the null part, which is independent of the label; None if there is no
            such part.
        groups: (N,) int64, the sub-population of each image; None if there are none.
        attributes: by name; empty if there are none.
    """

    images: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor | None = None
    groups: torch.Tensor | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

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
        attributes: names of the values of each attribute, in order; empty if there are none.
    """

    data_hash: str
    sizes: dict[str, int]
    class_counts: dict[str, list[int]]
    mean: list[float]
    std: list[float]
    group_counts: dict[str, list[int]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, list[str]] = field(default_factory=dict)
