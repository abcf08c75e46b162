"""Curvature regularization (CURE): the change of the loss gradient along its own sign.

Moosavi-Dezfooli, Fawzi, Uesato, Frossard, *Robustness via Curvature Regularization, and Vice Versa*, CVPR 2019, in
the form of the paper. The authors' published code differs: it does not square, uses the gradient of the batch's mean
loss, and sets the model to eval mode.
"""

from __future__ import annotations

import torch

from densitylab.worker.autograd import (
    computed_in_float32,
    frozen_running_statistics,
    full_precision,
    gradient_by_input,
    random_state,
    require_float32_weights,
    require_no_rng_use,
    set_random_state,
    upcast,
)


def curvature(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    h: float = 1.5,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return ‖∇ℓ(x + h z) − ∇ℓ(x)‖₂² of each sample, z = sign(∇ℓ(x)) / ‖sign(∇ℓ(x))‖₂, ℓ the sample's cross-entropy.

    Both gradients keep their graphs, z does not; x + h z is not clamped. The logits are shared with the
    cross-entropy, except under autocast or TF32, where both forwards run in float32: a difference of gradients in
    bfloat16 is mostly rounding. The second forward uses the batch's statistics (the running ones are not updated) and
    the dropout masks of the first, so call the penalty inside `replay`. A step costs 12 passes (13 with logits of its
    own), a plain step 3.

    Args:
        model: gives logits (N, K).
        x: (N, ...) images in [0, 1] that require grad.
        logits: (N, K) model(x).
        y: (N,) labels.
        h: length of the step, an L2 displacement in [0, 1] pixel units, above 0.
        generator: not used.

    Returns:
        (N,) penalties in float32 (float64 for float64 models), not negative; 0 where ∇ℓ(x) = 0.

    Raises:
        ValueError: h is not above 0, the logits do not depend on x, or the weights are in half precision.
        RuntimeError: the second forward drew random numbers outside `replay`.
    """
    if not 0 < h < float("inf"):
        raise ValueError(f"h must be a finite length above 0, got {h!r}")
    require_float32_weights(model, "curvature")
    graph = torch.is_grad_enabled()
    state = random_state(x.device)
    shared = computed_in_float32(x, logits)
    with full_precision(x.device), frozen_running_statistics(model), torch.enable_grad():
        if not shared:
            x = x.detach().to(torch.promote_types(x.dtype, torch.float32)).requires_grad_(True)
            logits = model(x)
            set_random_state(state)  # so that the second forward draws the same masks
        here = _loss_gradient(x, logits, y, graph)
        sign = here.detach().sign()
        length = torch.linalg.vector_norm(sign.flatten(1), dim=1)
        flat = length == 0
        step = h / torch.where(flat, torch.ones_like(length), length)
        there = (x.detach() + step.view(-1, *[1] * (x.dim() - 1)) * sign).requires_grad_(True)
        change = _loss_gradient(there, model(there), y, graph) - here
    if shared:
        require_no_rng_use(state, "curvature")
    penalty = change.flatten(1).square().sum(dim=1)
    return torch.where(flat, torch.zeros_like(penalty), penalty)


def _loss_gradient(x: torch.Tensor, logits: torch.Tensor, y: torch.Tensor, graph: bool) -> torch.Tensor:
    total = torch.nn.functional.cross_entropy(upcast(logits), y, reduction="sum")
    return gradient_by_input(total, x, create_graph=graph)
