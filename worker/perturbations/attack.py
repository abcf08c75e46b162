"""An adversarial attack on the explained class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worker.attacks.pgd import pgd_linf
from worker.perturbations.perturbed import Perturbed


def attack(
    model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor, *, epsilon: float = 0.03, steps: int = 10,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """x′ within L∞ epsilon of x by `worker.attacks.pgd.pgd_linf` away from the target class.

    It starts at x itself, so that what becomes of an image does not depend on the images beside it.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) in [0, 1].
        target: (N,) the class to be left.
        epsilon: largest change of a pixel, on the [0, 1] scale.
        steps: gradient steps, at least 1.
        generator: not used, since nothing is drawn.

    Returns:
        the attacked images: the first that leaves the class, else where the attack ended.
    """
    return Perturbed(pgd_linf(model, x, target, epsilon=epsilon, steps=steps, random_start=False))
