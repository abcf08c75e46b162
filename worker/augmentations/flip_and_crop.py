"""What is usual for small photographs such as CIFAR's: moved a little, and mirrored half of the time."""

from __future__ import annotations

import torch

from worker.augmentations.horizontal_flip import horizontal_flip
from worker.augmentations.random_crop import random_crop


def flip_and_crop(images: torch.Tensor, *, padding: int = 4, generator: torch.Generator) -> torch.Tensor:
    """`random_crop` with this padding, then `horizontal_flip`; arguments and result as there."""
    return horizontal_flip(random_crop(images, padding=padding, generator=generator), generator=generator)
