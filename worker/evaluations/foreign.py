"""Images that a model was not trained for: noise, or another data set brought to the model's size."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.datasets.dataset import Dataset


def noise_like(data: Dataset, kind: str, count: int, generator: torch.Generator) -> Dataset:
    """`count` images of its size: each pixel "uniform" in [0, 1], or "gaussian": 0.5 + 0.25 · N(0, 1) clamped.

    Raises:
        ValueError: kind is neither.
    """
    shape = (count, *data.images.shape[1:])
    if kind == "uniform":
        images = torch.rand(shape, generator=generator, device=generator.device)
    elif kind == "gaussian":
        images = (0.5 + 0.25 * torch.randn(shape, generator=generator, device=generator.device)).clamp(0.0, 1.0)
    else:
        raise ValueError(f"expected noise to be 'uniform' or 'gaussian', got {kind!r}")
    return Dataset(images.cpu(), torch.zeros(count, dtype=torch.long))


def other_data(
    against: Callable[[str], Dataset], data: Dataset, resize: str | None, samples: int | None
) -> Dataset:
    """The other data set's first test images as the model takes them.

    Args:
        against: split -> data set.
        data: the model's own, whose channels and size are asked for.
        resize: "bilinear" (antialiased) or "nearest"; grey is repeated over channels, colour averaged. None: the
            images must have the model's shape already.
        samples: how many; None: all.

    Raises:
        ValueError: the shapes differ and no resize was stated.
    """
    other = against("test")
    images, shape = other.images[:samples], data.images.shape[1:]
    if images.shape[1:] != shape:
        if resize is None:
            raise ValueError(
                f"the other data set's images are {tuple(images.shape[1:])}, the model takes {tuple(shape)} (channels, "
                "height, width): state how to resize them"
            )
        images = torch.cat([_resized(part, shape, resize) for part in images.split(250)])
    return Dataset(images, other.labels[:samples])


def _resized(images: Tensor, shape: torch.Size, mode: str) -> Tensor:
    """uint8 or [0, 1] floats -> [0, 1] floats (N, *shape)."""
    x = images.float() / (255 if images.dtype == torch.uint8 else 1)
    if x.shape[1] != shape[0]:
        x = x.mean(dim=1, keepdim=True).expand(-1, shape[0], -1, -1)
    if x.shape[2:] == shape[1:]:
        return x.contiguous()
    smooth = mode == "bilinear"
    return F.interpolate(x, size=tuple(shape[1:]), mode=mode, antialias=smooth).clamp(0.0, 1.0)
