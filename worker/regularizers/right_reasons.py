"""Right for the right reasons: input gradients on the null part of the image, which is independent of the label.

Ross, Hughes, Doshi-Velez, *Right for the Right Reasons: Training Differentiable Models by Constraining their
Explanations*, IJCAI 2017.
"""

from __future__ import annotations

import torch

from densitylab.worker.autograd import gradient_by_input, upcast

TARGETS = ("all_log_probs", "log_prob", "logit")


def right_reasons(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    masks: torch.Tensor,
    target: str = "all_log_probs",
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return ‖m · ∇_x t(x)‖₂² of each sample, m the mask, by double backward through the logits of the cross-entropy.

    With t = Σ_k log softmax_k f(x), as in the paper ("all_log_probs"), log softmax_y f(x) ("log_prob") or f_y
    ("logit"). A step costs 6 passes, a plain step 3.

    Args:
        model: not called; the logits carry its graph.
        x: (N, C, H, W) images in [0, 1] that require grad.
        logits: (N, K) model(x).
        y: (N,) labels.
        masks: (N, 1, H, W) bool, True on the null part.
        target: "all_log_probs", "log_prob" or "logit".
        generator: not used.

    Returns:
        (N,) penalties in float32 (float64 for float64 models), not negative; 0 for an image without a null part.

    Raises:
        ValueError: an unknown target, or the logits do not depend on x.
    """
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    with torch.enable_grad():
        scores = upcast(logits)
        if target != "logit":
            scores = torch.log_softmax(scores, dim=1)
        total = scores.sum() if target == "all_log_probs" else scores.gather(1, y.unsqueeze(1)).sum()
    gradient = upcast(gradient_by_input(total, x, create_graph=torch.is_grad_enabled()))
    return (gradient * masks).square().flatten(1).sum(dim=1)
