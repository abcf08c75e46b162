"""Out-of-distribution images: noise, or another data set resized for the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.subset import draw_subset


def noise_like(data: Dataset, kind: str, count: int, generator: torch.Generator) -> Dataset:
    """Return `count` noise images of the data set's size, in [0, 1].

    Args:
        data: images whose size to use.
        kind: "uniform", or "gaussian": 0.5 + 0.25 · N(0, 1), clamped to [0, 1].
        count: number of images.
        generator: draws the noise.

    Raises:
        ValueError: kind is neither of both.
    """
    shape = (count, *data.images.shape[1:])
    if kind == "uniform":
        images = torch.rand(shape, generator=generator, device=generator.device)
    elif kind == "gaussian":
        images = (0.5 + 0.25 * torch.randn(shape, generator=generator, device=generator.device)).clamp(0.0, 1.0)
    else:
        raise ValueError(f"expected noise to be 'uniform' or 'gaussian', got {kind!r}")
    return Dataset(images.cpu(), torch.zeros(count, dtype=torch.long))


def other_data(against: Callable[[str], Dataset], data: Dataset, resize: str | None, samples: int | None) -> Dataset:
    """Return test images of another data set, resized for the model.

    Args:
        against: split -> data set.
        data: the model's own data set, with the channels and size to return.
        resize: "bilinear" (antialiased) or "nearest"; grey is repeated over channels, colour averaged. None: the
            images must have the model's shape already.
        samples: number of images, see `draw_subset`; None: all.

    Raises:
        ValueError: the shapes differ and `resize` is None.
    """
    other = against("test")
    chosen = torch.from_numpy(draw_subset(other, samples))
    images, shape = other.images[chosen], data.images.shape[1:]
    if images.shape[1:] != shape:
        if resize is None:
            raise ValueError(
                f"the other data set's images are {tuple(images.shape[1:])}, the model takes {tuple(shape)} (channels, "
                "height, width): set resize"
            )
        images = torch.cat([_resized(part, shape, resize) for part in images.split(250)])
    return Dataset(images, other.labels[chosen])


def _resized(images: Tensor, shape: torch.Size, mode: str) -> Tensor:
    """Return floats (N, *shape) in [0, 1], from uint8 or floats in [0, 1]."""
    x = images.float() / (255 if images.dtype == torch.uint8 else 1)
    if x.shape[1] != shape[0]:
        x = x.mean(dim=1, keepdim=True).expand(-1, shape[0], -1, -1)
    if x.shape[2:] == shape[1:]:
        return x.contiguous()
    smooth = mode == "bilinear"
    return F.interpolate(x, size=tuple(shape[1:]), mode=mode, antialias=smooth).clamp(0.0, 1.0)
