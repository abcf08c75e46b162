"""Elastic-net penalty on the gradient of the input marginal log density."""

import torch


def elastic_net(model, x, logits, y, *, alpha=0.5, generator=None):
    """Return α‖g‖₁ + (1 − α)‖g‖₂² of each sample, with g = ∇ₓ logsumexp f(x).

    Args:
        model: not called; the logits carry its graph.
        x: (N, C, H, W) images in [0, 1] that require grad.
        logits: (N, K) model(x).
        y: (N,) labels, not used.
        alpha: share of the 1-norm, 0 to 1.
        generator: not used.

    Returns:
        (N,) penalties, not negative.
    """
    (gradient,) = torch.autograd.grad(torch.logsumexp(logits, dim=1).sum(), x, create_graph=torch.is_grad_enabled())
    flat = gradient.flatten(1)
    return alpha * flat.abs().sum(dim=1) + (1 - alpha) * flat.square().sum(dim=1)
