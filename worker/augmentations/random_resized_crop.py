"""Random crops of random size and shape, scaled to the image's size (Szegedy et al. 2015)."""

from __future__ import annotations

import math

import torch

from densitylab.worker.augmentations.horizontal_flip import horizontal_flip

_RATIOS = (3 / 4, 4 / 3)  # width / height
_TRIES = 10


def random_resized_crop(
    images: torch.Tensor, *, smallest_area: float = 0.08, flip: bool = True, generator: torch.Generator
) -> torch.Tensor:
    """Return a part of each image, scaled to the size of the whole (bilinear, antialiased).

    As torchvision's RandomResizedCrop: the part has a share of the area that is uniform in [smallest_area, 1], and a
    ratio of width to height whose logarithm is uniform between 3/4 and 4/3. Ten tries are made for one that fits into
    the image; if none does, the image stays whole.

    Args:
        images: (N, C, H, W), of any type, on any device.
        smallest_area: in (0, 1].
        flip: mirror each image with probability 1/2 besides.
        generator: on the CPU, for the same draws on every device.

    Returns:
        New images like `images`.
    """
    from torchvision.transforms.v2 import functional  # slow to import

    height, width = images.shape[2:]
    boxes = _boxes(len(images), height, width, smallest_area, generator).tolist()
    cropped = torch.cat(
        [
            functional.resized_crop(image, top, left, rows, columns, [height, width], antialias=True)
            for image, (top, left, rows, columns) in zip(images.split(1), boxes, strict=True)
        ]
    )
    return horizontal_flip(cropped, generator=generator) if flip else cropped


def _boxes(count: int, height: int, width: int, smallest_area: float, generator: torch.Generator) -> torch.Tensor:
    """Return (count, 4) int64: top, left, height and width of each part."""
    low, high = map(math.log, _RATIOS)
    area = height * width * (smallest_area + (1 - smallest_area) * torch.rand(_TRIES, count, generator=generator))
    ratio = (low + (high - low) * torch.rand(_TRIES, count, generator=generator)).exp()
    corner = torch.rand(2, count, generator=generator)
    rows, columns = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (rows >= 1) & (rows <= height) & (columns >= 1) & (columns <= width)
    first = fits.int().argmax(dim=0, keepdim=True)
    chosen = fits.any(dim=0)
    rows = torch.where(chosen, rows.gather(0, first)[0], height)
    columns = torch.where(chosen, columns.gather(0, first)[0], width)
    top, left = (corner[0] * (height - rows + 1)).long(), (corner[1] * (width - columns + 1)).long()
    return torch.stack([top, left, rows, columns], dim=1)
