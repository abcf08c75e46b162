"""RandAugment: a few random operations of one strength on each image (Cubuk et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch

STRONGEST = 30  # of the magnitudes
Operation = Callable[[torch.Tensor, float], torch.Tensor]


def rand_augment(
    images: torch.Tensor, *, operations: int = 2, magnitude: int = 9, generator: torch.Generator
) -> torch.Tensor:
    """Apply `operations` random ones of torchvision's fourteen to each image, one after the other.

    They are: nothing, shears and shifts in both directions, rotation, brightness, saturation, contrast, sharpness,
    posterise, solarise, autocontrast and equalise, with the strengths of torchvision's RandAugment. The sign of those
    that have one is random. Pixels from outside are black.

    Args:
        images: (N, C, H, W) uint8, on any device; a torchvision Mask is moved, and its values are not changed.
        operations: on each image, at least 0.
        magnitude: strength, from 0 to 30.
        generator: on the CPU, for the same draws on every device.

    Returns:
        New images like `images`.
    """
    from torchvision.tv_tensors import Mask, wrap  # slow to import

    chosen = _operations(images.shape[3], images.shape[2])
    changed = images.clone()
    for _ in range(operations):
        numbers = torch.randint(len(chosen), (len(images),), generator=generator)
        signs = 2 * torch.randint(2, (len(images),), generator=generator) - 1
        # images with the same operation and sign are changed at once
        for code in (numbers * 2 + (signs > 0)).unique().tolist():
            of_code = (numbers * 2 + (signs > 0) == code).nonzero()[:, 0].to(images.device)
            moves, operation = chosen[code // 2]
            if moves or not isinstance(images, Mask):
                part = changed[of_code]
                part = wrap(part, like=images) if isinstance(images, Mask) else part
                changed[of_code] = operation(part, (2 * (code % 2) - 1) * magnitude / STRONGEST).to(changed.dtype)
    return changed


def _operations(width: int, height: int) -> list[tuple[bool, Operation]]:
    """Return (whether it moves pixels, (images, strength in [-1, 1]) -> images) of each operation."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    def affine(images: torch.Tensor, *, shift: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0.0, 0.0)):
        return functional.affine(
            images, 0.0, list(shift), 1.0, list(shear), interpolation=InterpolationMode.BILINEAR, center=[0, 0]
        )

    degrees = 180 / torch.pi
    return [
        (False, lambda images, s: images),
        (True, lambda images, s: affine(images, shear=(degrees * float(torch.tensor(0.3 * s).atan()), 0.0))),
        (True, lambda images, s: affine(images, shear=(0.0, degrees * float(torch.tensor(0.3 * s).atan())))),
        (True, lambda images, s: affine(images, shift=(int(150 / 331 * width * s), 0))),
        (True, lambda images, s: affine(images, shift=(0, int(150 / 331 * height * s)))),
        (True, lambda images, s: functional.rotate(images, 30 * s, interpolation=InterpolationMode.BILINEAR)),
        (False, lambda images, s: functional.adjust_brightness(images, 1 + 0.9 * s)),
        (False, lambda images, s: functional.adjust_saturation(images, 1 + 0.9 * s)),
        (False, lambda images, s: functional.adjust_contrast(images, 1 + 0.9 * s)),
        (False, lambda images, s: functional.adjust_sharpness(images, 1 + 0.9 * s)),
        (False, lambda images, s: functional.posterize(images, 8 - round(4 * abs(s)))),
        (False, lambda images, s: functional.solarize(images, 255 * (1 - abs(s)))),
        (False, lambda images, s: functional.autocontrast(images)),
        (False, lambda images, s: functional.equalize(images)),
    ]
