"""The three input-gradient norms that every run logs, for any regularizer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from densitylab.worker.autograd import gradient_by_input, norm_per_sample, upcast


@dataclass(frozen=True)
class GradientNorms:
    """2-norms over all input features of each sample, (N,) each, detached."""

    log_density: torch.Tensor  # ‖∇ log p(x)‖₂, which smoothing penalises; changes under f → f + c(x)
    log_prob: torch.Tensor  # ‖∇ log p(y|x)‖₂: invariant under f → f + c(x)
    margin: torch.Tensor  # ‖∇ (f_y − max over j ≠ y of f_j)‖₂: invariant too


def gradient_norms(x: torch.Tensor, logits: torch.Tensor, y: torch.Tensor) -> GradientNorms:
    """Return the norms of the input gradients of log density, log-probability and margin of the labelled class.

    log p(x) = logsumexp f(x), log p(y|x) = f_y(x) − logsumexp f(x). Softmax is invariant under
    f → f + c(x), so the first norm can fall without any gain in robustness; the other two can't.

    Args:
        x: (N, ...) images that require grad.
        logits: (N, K) with K of at least 2, computed from x; their graph is kept.
        y: (N,) labels.

    Returns:
        Three tensors (N,), without a graph.
    """
    with torch.enable_grad():
        wide = upcast(logits)
        chosen = wide.gather(1, y.unsqueeze(1)).squeeze(1)
        log_p = torch.logsumexp(wide, dim=1)
        others = wide.scatter(1, y.unsqueeze(1), float("-inf"))
        margin = chosen - others.max(dim=1).values
        return GradientNorms(_norm(log_p, x), _norm(chosen - log_p, x), _norm(margin, x))


def density_gradient_norm(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return (N,) ‖∇ log p(x)‖₂ alone, detached; arguments as for `gradient_norms`."""
    with torch.enable_grad():
        wide = upcast(logits)
        return _norm(torch.logsumexp(wide, dim=1), x)


def _norm(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return norm_per_sample(gradient_by_input(values.sum(), x, create_graph=False), "2")
