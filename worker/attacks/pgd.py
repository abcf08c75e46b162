"""Projected gradient descent in the L∞ and the L2 ball.

Source: Madry, Makelov, Schmidt, Tsipras, Vladu, *Towards Deep Learning Models Resistant to Adversarial Attacks*,
ICLR 2018; the margin loss is that of Carlini and Wagner 2017.

Both attacks start at a random point of the ball and maximise one of two losses,

    cross-entropy   −log softmax_y f(x)          margin   max_{j≠y} f_j(x) − f_y(x),

or, with `loss="worst"`, first the one and then the other, or, with `loss="targeted"`, f_t(x) − f_y(x) for each of the
nine most likely wrong classes t. An attack on a sample succeeds at the
first point, the clean image included, that is not classified as y, and ends there. `maximise`, for training, makes the
same steps on any loss, for every sample until the last step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.attacks.balls import BALLS, Ball
from densitylab.worker.attacks.losses import Loss, objectives

LOSSES_OF = {
    "worst": ("cross_entropy", "margin"),
    "cross_entropy": ("cross_entropy",),
    "margin": ("margin",),
    "targeted": ("targeted",),
}
TARGET_CLASSES = 9  # of the targeted loss


def pgd_linf(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    loss: str = "worst",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with max |x′ − x| ≤ epsilon in [0, 1], by x′ ← Π(x′ + step_size · sign ∇loss).

    The bound holds exactly, rounding included. Parameters' `.grad` and the train/eval mode stay as they are.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) floats in [0, 1].
        y: (N,) labels, which the attack avoids.
        epsilon: largest change of a pixel, on the [0, 1] scale; 0 returns x.
        steps: gradient steps of one attempt, at least 1.
        step_size: on the [0, 1] scale; None: 2.5 · epsilon / steps.
        restarts: attempts per loss and target class, at least 1.
        random_start: start at a random point of the ball instead of at x.
        loss: "cross_entropy", "margin", "worst" for both, or "targeted".
        generator: draws the starts.

    Returns:
        x_adv, shaped like x: the first success of a sample, else the end of the last attempt.

    Raises:
        ValueError: x outside [0, 1], or a parameter outside its range.
    """
    _check(x, epsilon, steps, step_size, restarts, loss)
    ball = BALLS["inf"](x, epsilon, generator)
    return _attack(model, x, y, ball, epsilon, steps, step_size, restarts, random_start, loss)


def pgd_l2(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    loss: str = "worst",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with ‖x′ − x‖₂ ≤ epsilon in [0, 1], by x′ ← Π(x′ + step_size · ∇loss / ‖∇loss‖₂).

    x′ is projected onto the ball, then clamped to [0, 1], which only reduces its distance to x. Arguments, result and
    errors as for `pgd_linf`, with `epsilon` and `step_size` as L2 lengths in [0, 1] pixel units.
    """
    _check(x, epsilon, steps, step_size, restarts, loss)
    ball = BALLS["2"](x, epsilon, generator)
    return _attack(model, x, y, ball, epsilon, steps, step_size, restarts, random_start, loss)


def maximise(
    objective: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    p_norm: str,
    epsilon: float,
    steps: int,
    step_size: float | None = None,
    begin: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ in the ball around x, in [0, 1], after `steps` steps that increase `objective`.

    This is the inner problem of adversarial training. Unlike the attacks it never stops early, even for misclassified
    samples, as in Madry et al. 2018 and Zhang et al. 2019. The mode of the model in `objective` does not change.

    Args:
        objective: x′ (N, C, H, W) -> (N,) to maximise; each value depends only on its own sample.
        x: (N, C, H, W) floats in [0, 1].
        p_norm: "inf" or "2", the norm of the ball.
        epsilon: its radius in [0, 1] pixel units; 0 returns x.
        steps: gradient steps, at least 1.
        step_size: length of a step in the ball's norm; None: 2.5 · epsilon / steps.
        begin: (N, C, H, W) starting points, projected into the ball; None: random points of the ball.
        generator: draws the start.

    Returns:
        x_adv, shaped like x, without a graph.

    Raises:
        ValueError: x outside [0, 1], or a parameter outside its range.
    """
    _check(x, epsilon, steps, step_size, 1, "cross_entropy")
    if p_norm not in BALLS:
        raise ValueError(f"expected p_norm to be one of {', '.join(map(repr, BALLS))}, got {p_norm!r}")
    x = x.detach()
    if epsilon == 0:
        return x.clone()
    ball = BALLS[p_norm](x, epsilon, generator)
    size = 2.5 * epsilon / steps if step_size is None else step_size
    everyone = torch.arange(len(x), device=x.device)
    x_adv = ball.project(ball.start() if begin is None else begin.detach(), everyone)
    for _ in range(steps):
        with torch.enable_grad():
            x_adv.requires_grad_()
            (gradient,) = torch.autograd.grad(objective(x_adv).sum(), x_adv)
        x_adv = ball.project(x_adv.detach() + size * ball.unit(gradient), everyone)
    return x_adv


def gradient_is_zero(model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, *, loss: str = "worst") -> Tensor:
    """Return (N,) bool: every gradient of the attack at x is exactly zero, so that it can't start."""
    zero = torch.ones(len(x), dtype=torch.bool, device=x.device)
    with torch.enable_grad():
        inputs = x.detach().requires_grad_()
        logits = model(inputs)
        everyone = torch.arange(len(x), device=x.device)
        for objective in objectives(LOSSES_OF[loss], logits.detach(), y, TARGET_CLASSES):
            (gradient,) = torch.autograd.grad(objective(logits, everyone).sum(), inputs, retain_graph=True)
            zero &= (gradient == 0).flatten(1).all(dim=1)
    return zero


def _attack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    ball: Ball,
    epsilon: float,
    steps: int,
    step_size: float | None,
    restarts: int,
    random_start: bool,
    loss: str,
) -> Tensor:
    x = x.detach()
    result = x.clone()
    if epsilon == 0:
        return result
    size = 2.5 * epsilon / steps if step_size is None else step_size
    with torch.no_grad():
        logits = model(x)
    robust = (logits.argmax(1) == y).nonzero().flatten()
    for objective in objectives(LOSSES_OF[loss], logits, y, TARGET_CLASSES):
        for _ in range(restarts):
            # drawn for the whole batch, so that every model gets the same starts
            begin = ball.start() if random_start else x
            if len(robust) == 0:
                continue
            robust = _attempt(model, begin, y, ball, objective, robust, steps, size, result)
    return result


def _attempt(
    model: Callable[[Tensor], Tensor],
    begin: Tensor,
    y: Tensor,
    ball: Ball,
    objective: Loss,
    active: Tensor,
    steps: int,
    size: float,
    result: Tensor,
) -> Tensor:
    """Attack the samples `active` once; write their last points into `result`, return those that stay robust."""
    x_adv = ball.project(begin[active], active)
    for step in range(steps + 1):
        with torch.enable_grad():
            x_adv = x_adv.detach().requires_grad_()
            logits = model(x_adv)
            total = objective(logits, active).sum()
            if step < steps:
                (gradient,) = torch.autograd.grad(total, x_adv)
        x_adv = x_adv.detach()
        result[active] = x_adv
        correct = logits.detach().argmax(1) == y[active]
        active, x_adv = active[correct], x_adv[correct]
        if step == steps or len(active) == 0:
            break
        x_adv = ball.project(x_adv + size * ball.unit(gradient[correct]), active)
    return active


def _check(x: Tensor, epsilon: float, steps: int, step_size: float | None, restarts: int, loss: str) -> None:
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"expected epsilon to be a finite number of at least 0, got {epsilon}")
    if steps < 1 or restarts < 1:
        raise ValueError(f"expected steps and restarts of at least 1, got {steps} and {restarts}")
    if step_size is not None and not (math.isfinite(step_size) and step_size > 0):
        raise ValueError(f"expected step_size to be a finite number above 0, or None, got {step_size}")
    if loss not in LOSSES_OF:
        raise ValueError(f"expected loss to be one of {', '.join(LOSSES_OF)}, got {loss!r}")
    if x.numel() > 0 and not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError("expected x in [0, 1]; scale the images first and put normalisation into the model")
