"""Random changes of brightness, contrast, saturation and hue."""

from __future__ import annotations

import torch

_GREY = (0.2989, 0.587, 0.114)  # weights of red, green and blue, as torchvision's


def color_jitter(
    images: torch.Tensor,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    generator: torch.Generator,
) -> torch.Tensor:
    """Change the colours of each image by its own random factors, in this order.

    Each step is that of torchvision's functional of the same name, for a whole batch at once: brightness, contrast and
    saturation are multiplied by factors uniform in [1 − value, 1 + value], the hue is turned by a share of the circle
    uniform in [−hue, hue]. Grey images have neither saturation nor hue.

    Args:
        images: (N, C, H, W) uint8, on any device; masks of torchvision stay as they are.
        brightness: in [0, 1].
        contrast: in [0, 1].
        saturation: in [0, 1].
        hue: in [0, 0.5].
        generator: on the CPU, for the same draws on every device.

    Returns:
        New images like `images`.
    """
    from torchvision.tv_tensors import Mask  # slow to import

    draws = 2 * torch.rand(4, len(images), 1, 1, 1, generator=generator) - 1
    if isinstance(images, Mask):
        return images
    factors = draws * torch.tensor([brightness, contrast, saturation, hue]).view(4, 1, 1, 1, 1)
    by, turn = (1 + factors[:3]).to(images.device), factors[3].to(images.device)
    x = (images.float() / 255 * by[0]).clamp(0, 1)
    x = _blend(x, _grey(x).mean(dim=(1, 2, 3), keepdim=True), by[1])
    if x.shape[1] == 3:
        x = _turned(_blend(x, _grey(x), by[2]), turn)
    return (x * 255).round().to(images.dtype)


def _blend(x: torch.Tensor, other: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return (factor * x + (1 - factor) * other).clamp(0, 1)


def _grey(x: torch.Tensor) -> torch.Tensor:
    if x.shape[1] != 3:
        return x
    return sum(weight * x[:, i : i + 1] for i, weight in enumerate(_GREY))  # type: ignore[return-value]


def _turned(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Return images (N, 3, H, W) in [0, 1] whose hue is turned by a share of the circle: HSV of Smith 1978."""
    red, green, blue = x.split(1, dim=1)
    value, chroma = x.amax(dim=1, keepdim=True), x.amax(dim=1, keepdim=True) - x.amin(dim=1, keepdim=True)
    safe = chroma.clamp_min(1e-12)
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    place = (torch.tensor([5.0, 3.0, 1.0], device=x.device).view(1, 3, 1, 1) + sector + 6 * turn) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)
