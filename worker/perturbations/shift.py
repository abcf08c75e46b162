"""Shift by whole pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.perturbations.perturbed import Perturbed


def shift(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    *,
    right: int = 2,
    down: int = 0,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Return x shifted by whole pixels, with black borders.

    Maps are compared on the common part of the images: the map of the shifted image is moved back, and both are
    cropped.

    Args:
        model: not used.
        x: (N, C, H, W) in [0, 1].
        target: not used.
        right: pixels to the right, below 0 to the left; smaller in size than W.
        down: pixels down, below 0 up; smaller in size than H.
        generator: not used.

    Returns:
        The shifted images, with maps cropped to the common part.

    Raises:
        ValueError: no pixel of the image would stay in the frame.
    """
    height, width = x.shape[2:]
    if abs(right) >= width or abs(down) >= height:
        raise ValueError(f"expected a shift within {height}×{width} pixels, got {down} down and {right} right")
    stays = (..., _inside(height, -down), _inside(width, -right))
    arrives = (..., _inside(height, down), _inside(width, right))
    moved = torch.zeros_like(x)
    moved[arrives] = x[stays]
    return Perturbed(moved, lambda clean, perturbed: (clean[stays], perturbed[arrives]))


def _inside(length: int, by: int) -> slice:
    """Return the positions inside the frame after a shift by `by` pixels."""
    return slice(max(by, 0), length + min(by, 0))
