"""Order of the images in an epoch: each once, or sampled with equal weight of all classes or groups, or with weights
that an algorithm gives."""

from __future__ import annotations

import torch

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training import seeds

SAMPLINGS = ("shuffled", "class_balanced", "group_balanced")


def epoch_order(
    data: Dataset, sampling: str, *, seed: int, epoch: int, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the indices of an epoch, which depend only on seed and epoch, so that a run can resume in mid-epoch.

    - shuffled: each image once.
    - class_balanced, group_balanced: N draws with replacement, each image with probability 1 / (number of classes ·
      images of its class), or the same with groups; so all classes are equally likely (Idrissi et al. 2022 compare
      this with reweighting).

    With `weights` (N,) the draws have probabilities in proportion to them, whatever `sampling` is.

    Returns:
        (N,) int64 on the CPU.

    Raises:
        ValueError: unknown sampling, or group_balanced for a data set without groups.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")
    generator = seeds.generator(seed, seeds.ORDER, epoch)
    if weights is not None:
        return torch.multinomial(weights, len(data), replacement=True, generator=generator)
    if sampling == "shuffled":
        return torch.randperm(len(data), generator=generator)
    kinds = data.labels if sampling == "class_balanced" else data.groups
    if kinds is None:
        raise ValueError("sampling is group_balanced, and this data set has no groups: take class_balanced")
    _, kind, counts = torch.unique(kinds, return_inverse=True, return_counts=True)
    return torch.multinomial(1 / counts.double()[kind], len(data), replacement=True, generator=generator)
