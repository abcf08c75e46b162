"""Values of removed pixels. Each function: (x (N, C, H, W), removed (N, 1, H, W) bool, noise (C, H, W)) -> like x."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Fill = Callable[[Tensor, Tensor, Tensor], Tensor]


def black(x: Tensor, removed: Tensor, noise: Tensor) -> Tensor:
    """Return 0 everywhere."""
    return torch.zeros_like(x)


def image_mean(x: Tensor, removed: Tensor, noise: Tensor) -> Tensor:
    """Return each image's mean by channel."""
    return x.mean(dim=(2, 3), keepdim=True).expand_as(x)


def retained_mean(x: Tensor, removed: Tensor, noise: Tensor) -> Tensor:
    """Return the mean, by channel, of the pixels that are left of each image; of the whole image if none is left."""
    left = (~removed).to(x.dtype)
    count = left.sum(dim=(2, 3), keepdim=True)
    mean = (x * left).sum(dim=(2, 3), keepdim=True) / count.clamp_min(1)
    return torch.where(count > 0, mean, x.mean(dim=(2, 3), keepdim=True)).expand_as(x)


def blur(x: Tensor, removed: Tensor, noise: Tensor) -> Tensor:
    """Return the images under a Gaussian with σ = an eighth of the shorter side, cut at 3 σ, borders replicated."""
    sigma = min(x.shape[2:]) / 8
    reach = math.ceil(3 * sigma)
    distance = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = (-(distance**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def uniform_noise(x: Tensor, removed: Tensor, noise: Tensor) -> Tensor:
    """Return the noise, the same for every image."""
    return noise.to(x.dtype).expand_as(x)


FILLS: dict[str, Fill] = {
    "zero": black,
    "mean": image_mean,
    "retained_mean": retained_mean,
    "blur": blur,
    "noise": uniform_noise,
}
