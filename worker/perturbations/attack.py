"""An adversarial attack on the explained class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.attacks.pgd import pgd_linf
from densitylab.worker.perturbations.perturbed import Perturbed


def attack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    *,
    epsilon: float = 0.03,
    steps: int = 10,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Return x′ within L∞ epsilon of x, by `densitylab.worker.attacks.pgd.pgd_linf` against the target class.

    The attack starts at x, so that the result for an image does not depend on the other images.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) in [0, 1].
        target: (N,) class indices.
        epsilon: largest change of a pixel, on the [0, 1] scale.
        steps: gradient steps, at least 1.
        generator: not used.

    Returns:
        The attacked images: the first outside of the class, else the last of the attack.
    """
    return Perturbed(pgd_linf(model, x, target, epsilon=epsilon, steps=steps, random_start=False))
