"""What a perturbation hands back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


def as_they_are(clean: Tensor, perturbed: Tensor) -> tuple[Tensor, Tensor]:
    return clean, perturbed


class Perturbed(NamedTuple):
    """Perturbed images, and how maps of both are laid over each other.

    Args:
        images: (N, C, H, W) in [0, 1].
        align: (map of x, map of the perturbed x), each (N, C, H, W), -> both, feature by feature of the same place.
    """

    images: Tensor
    align: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = as_they_are
