"""An adversarial attack on the explained class, of one length for every image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.attacks.losses import margin
from densitylab.worker.attacks.pgd import maximise
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
    """Return x′ at the L∞ distance epsilon of x, by PGD on the margin max_{j≠t} f_j − f_t of the target class t.

    The attack takes all its steps, also where the class changes at the first, so that maps of different images and
    models are compared over the same distance. It starts at x, so that the result for an image does not depend on the
    other images.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) in [0, 1].
        target: (N,) class indices.
        epsilon: largest change of a pixel, on the [0, 1] scale.
        steps: gradient steps, at least 1.
        generator: not used.

    Returns:
        The attacked images. An image stays where its gradient is zero, and its distance is smaller where pixels at 0
        or 1 leave no room.
    """
    moved = maximise(lambda x_adv: margin(model(x_adv), target), x, p_norm="inf", epsilon=epsilon, steps=steps, begin=x)
    delta = moved - x
    reached = delta.abs().amax(dim=(1, 2, 3), keepdim=True)
    scale = torch.where(reached > 0, epsilon / reached.clamp_min(torch.finfo(x.dtype).tiny), 0.0)
    return Perturbed((x + scale * delta).clamp(0.0, 1.0))
