"""One step along the gradient of log p(x) or of a logit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.perturbations.perturbed import Perturbed


def density_step(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor | None,
    *,
    epsilon: float = 0.5,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Return x + epsilon · g/‖g‖₂ with g = ∇ₓ log p(x) = ∇ₓ logsumexp f(x), clamped to [0, 1]; x if g = 0.

    Args:
        model: gives logits (N, K), sample by sample.
        x: (N, C, H, W) in [0, 1].
        target: not used, since log p(x) does not depend on a class.
        epsilon: L2 length of the step in [0, 1] pixel units; below 0 steps down.
        generator: not used.

    Returns:
        The images after the step.
    """
    return Perturbed(along(x, direction(lambda inputs: model(inputs).logsumexp(dim=1), x), epsilon))


def logit_step(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    *,
    epsilon: float = 0.5,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Return the same as `density_step`, with g = ∇ₓ f_t(x) of the target class."""

    def logit(inputs: Tensor) -> Tensor:
        return model(inputs).gather(1, target[:, None]).squeeze(1)

    return Perturbed(along(x, direction(logit, x), epsilon))


def direction(quantity: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ∇quantity/‖∇quantity‖₂ per sample, of a quantity (N, C, H, W) -> (N,); 0 if the gradient is 0."""
    with torch.enable_grad():
        inputs = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(quantity(inputs).sum(), inputs)
    flat = gradient.flatten(1)
    # divided by the largest entry first, so that squares of tiny gradients do not underflow
    largest = flat.abs().amax(dim=1, keepdim=True)
    scaled = flat / torch.where(largest == 0, torch.ones_like(largest), largest)
    return (scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True).clamp_min(1.0)).view_as(x)


def along(x: Tensor, unit: Tensor, epsilon: float) -> Tensor:
    """Return x + epsilon · unit, clamped to [0, 1]."""
    return (x + epsilon * unit).clamp(0.0, 1.0)
