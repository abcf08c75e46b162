"""Input-gradient regularization: the joint or the conditional log density instead of the marginal one.

Target `log_prob` is that of Drucker & LeCun, *Improving generalization performance using double backpropagation*,
1992, and Ross & Doshi-Velez, *Improving the Adversarial Robustness and Interpretability of Deep Neural Networks by
Regularizing their Input Gradients*, AAAI 2018; `logit` is the baseline of the marginal-density paper.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from densitylab.worker.autograd import (
    check_norm,
    gradient_by_input,
    norm_per_sample,
    upcast,
)
from densitylab.worker.forward_mode import Score, shared_penalty

ESTIMATORS = ("double_backward", "forward_mode")


def _logit(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return upcast(logits).gather(1, y.unsqueeze(1)).squeeze(1)


def _log_prob(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(upcast(logits), dim=1).gather(1, y.unsqueeze(1)).squeeze(1)


TARGETS: dict[str, Score] = {"logit": _logit, "log_prob": _log_prob}


def input_gradient(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    target: str = "logit",
    p_norm: str = "2",
    power: int = 2,
    estimator: str = "double_backward",
    generator: torch.Generator | None = None,
    replace_logits: Callable[[torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Return ‖∇_x t(x)‖_p^k of each sample, exactly.

    With t = f_y, the log joint density log p(x, y) up to a constant ("logit"), or t = log softmax_y f(x), the log
    conditional density log p(y | x) ("log_prob"). ∇ log p(x) = ∇ f_y − ∇ log softmax_y f(x) relates the two
    to `marginal_density`. A step costs 6 passes by double backward through the logits of the cross-entropy and 8 by
    forward mode, a plain step 3.

    Args:
        model: called by forward_mode alone; the logits carry its graph.
        x: (N, ...) images in [0, 1] that require grad.
        logits: (N, K) model(x).
        y: (N,) labels.
        target: "logit" or "log_prob".
        p_norm: "1", "2", "inf" or another number of at least 1, such as "1.5", over all input features of one sample.
        power: 1 or 2.
        estimator: "double_backward" or "forward_mode", see `marginal_density`.
        generator: not used.
        replace_logits: called by forward_mode with the logits of its second forward, see `marginal_density`.

    Returns:
        (N,) penalties in float32 (float64 for float64 models), not negative.

    Raises:
        ValueError: an argument is outside its range, or the logits do not depend on x.
        RuntimeError: the model drew random numbers in forward_mode's second forward outside `replay`.
    """
    check_norm(p_norm, power)
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    score = TARGETS[target]
    if estimator == "forward_mode":
        return shared_penalty(
            model, x, logits, y, score=score, p_norm=p_norm, power=power, replace_logits=replace_logits
        )
    with torch.enable_grad():
        total = score(logits, y).sum()
    gradient = gradient_by_input(total, x, create_graph=torch.is_grad_enabled())
    return norm_per_sample(gradient, p_norm) ** power
