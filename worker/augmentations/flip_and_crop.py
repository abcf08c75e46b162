"""The usual augmentation of small photographs such as CIFAR's: random crops and flips."""

from __future__ import annotations

import torch

from densitylab.worker.augmentations.horizontal_flip import horizontal_flip
from densitylab.worker.augmentations.random_crop import random_crop


def flip_and_crop(images: torch.Tensor, *, padding: int = 4, generator: torch.Generator) -> torch.Tensor:
    """Apply `random_crop` with this padding, then `horizontal_flip`; arguments and result as for these."""
    return horizontal_flip(random_crop(images, padding=padding, generator=generator), generator=generator)
