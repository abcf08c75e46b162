"""The result of a perturbation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


def unchanged(clean: Tensor, perturbed: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps as they are."""
    return clean, perturbed


class Perturbed(NamedTuple):
    """Perturbed images, and how to align their maps with those of the originals.

    Args:
        images: (N, C, H, W) in [0, 1].
        align: (map of x, map of the perturbed x), each (N, C, H, W) -> both, with aligned content.
    """

    images: Tensor
    align: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = unchanged
