"""In which order an epoch meets the images: each once, or drawn so that classes or groups weigh the same."""

from __future__ import annotations

import torch

from worker import seeds
from worker.datasets.dataset import Dataset

SAMPLINGS = ("shuffled", "class_balanced", "group_balanced")


def epoch_order(data: Dataset, sampling: str, *, seed: int, epoch: int) -> torch.Tensor:
    """The indices of an epoch: a function of seed and epoch, so a resume in mid-epoch finds them again.

    - shuffled: each image once.
    - class_balanced, group_balanced: as many draws as there are images, with replacement, an image with probability
      1 / (number of classes · images of its class), or the same with groups; so every class that is there is as
      likely as any other (Idrissi et al. 2022 compare this with reweighting).

    Returns:
        (N,) int64 on the CPU.

    Raises:
        ValueError: unknown sampling, or group_balanced where the data set has no groups.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")
    generator = seeds.generator(seed, seeds.ORDER, epoch)
    if sampling == "shuffled":
        return torch.randperm(len(data), generator=generator)
    kinds = data.labels if sampling == "class_balanced" else data.groups
    if kinds is None:
        raise ValueError("sampling is group_balanced, and this data set has no groups: take class_balanced")
    _, kind, counts = torch.unique(kinds, return_inverse=True, return_counts=True)
    return torch.multinomial(1 / counts.double()[kind], len(data), replacement=True, generator=generator)
