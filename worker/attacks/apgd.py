"""Auto-PGD: projected gradient descent with momentum that halves its step where it makes no progress.

Source: Croce, Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks*,
ICML 2020, algorithm 1 and section 4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.attacks.balls import BALLS, Ball, attackable
from densitylab.worker.attacks.losses import TARGETED, UNTARGETED, Loss, objectives

MOMENTUM = 0.75  # α of the paper: weight of the new step beside the last one
PROGRESS = 0.75  # ρ: share of the steps that must raise the loss
FIRST, SHORTER, SHORTEST = 0.22, 0.03, 0.06  # of all steps: the first checkpoint, how gaps shrink, the smallest gap


def apgd_linf(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int = 100,
    restarts: int = 1,
    loss: str = "cross_entropy",
    target_classes: int = 9,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with max |x′ − x| ≤ epsilon in [0, 1] by Auto-PGD, which has no step size.

    An attack on a sample succeeds at the first point, the clean image included, that is not classified as y, and ends
    there. Parameters' `.grad` and the train/eval mode stay as they are.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) floats in [0, 1].
        y: (N,) labels, which the attack avoids.
        epsilon: largest change of a pixel, on the [0, 1] scale; 0 returns x.
        steps: gradient steps of one attempt, at least 1.
        restarts: attempts, per target class of a targeted loss, at least 1; each starts at a random point of the
            sphere.
        loss: "cross_entropy", "margin", "dlr", "targeted" (the margin), "targeted_cross_entropy" or "targeted_dlr";
            see `losses`.
        target_classes: of a targeted loss: how many of the most likely wrong classes are tried, at least 1.
        generator: draws the starts.

    Returns:
        x_adv, shaped like x: the first success of a sample, else its point of the highest loss in the last attempt.

    Raises:
        ValueError: a parameter is outside its range, or the loss needs more classes.
    """
    return _attack(model, x, y, "inf", epsilon, steps, restarts, loss, target_classes, generator)


def apgd_l2(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int = 100,
    restarts: int = 1,
    loss: str = "cross_entropy",
    target_classes: int = 9,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with ‖x′ − x‖₂ ≤ epsilon in [0, 1]; otherwise as `apgd_linf`."""
    return _attack(model, x, y, "2", epsilon, steps, restarts, loss, target_classes, generator)


def _attack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    p_norm: str,
    epsilon: float,
    steps: int,
    restarts: int,
    loss: str,
    target_classes: int,
    generator: torch.Generator | None,
) -> Tensor:
    if loss not in UNTARGETED and loss not in TARGETED:
        raise ValueError(f"expected loss to be one of {', '.join((*UNTARGETED, *TARGETED))}, got {loss!r}")
    x = x.detach()
    result = x.clone()
    begun = attackable(model, x, y, epsilon, steps=steps, restarts=restarts, target_classes=target_classes)
    if begun is None:
        return result
    logits, robust = begun
    ball = BALLS[p_norm](x, epsilon, generator)
    for objective in objectives([loss], logits, y, target_classes):
        for _ in range(restarts):
            begin = ball.corner()  # drawn for the whole batch, so that every model gets the same starts
            if len(robust) > 0:
                robust = _attempt(model, begin, y, ball, objective, robust, steps, epsilon, result)
    return result


def _attempt(
    model: Callable[[Tensor], Tensor],
    begin: Tensor,
    y: Tensor,
    ball: Ball,
    objective: Loss,
    active: Tensor,
    steps: int,
    epsilon: float,
    result: Tensor,
) -> Tensor:
    """Attack the samples `active` once; write successes and best points into `result`, return those that are robust."""
    now = _States(ball.project(begin[active], active), 2 * epsilon)
    checkpoints = _checkpoints(steps)
    for step in range(steps + 1):
        with torch.enable_grad():
            inputs = now.x.detach().requires_grad_()
            logits = model(inputs)
            values = objective(logits, active)
            if step < steps:
                (gradient,) = torch.autograd.grad(values.sum(), inputs)
            else:
                gradient = torch.zeros_like(inputs)
        now.observe(values.detach(), gradient, first=step == 0)
        correct = logits.detach().argmax(dim=1) == y[active]
        result[active] = torch.where(correct[:, None, None, None], now.best_x, now.x)
        active = active[correct]
        now.keep(correct)
        if step == steps or len(active) == 0:
            break
        if step in checkpoints:
            now.halve_where_stuck(step - checkpoints[step])
        ahead = ball.project(now.x + now.size * ball.unit(now.gradient), active)
        if step > 0:
            ahead = ball.project(now.x + MOMENTUM * (ahead - now.x) + (1 - MOMENTUM) * (now.x - now.last_x), active)
        now.last_x, now.x = now.x, ahead
    return active


class _States:
    """The state of each sample: its point, the best one, and what it has seen since the last checkpoint."""

    def __init__(self, x: Tensor, size: float) -> None:
        self.x, self.last_x, self.best_x = x, x, x
        self.gradient, self.best_gradient = torch.zeros_like(x), torch.zeros_like(x)
        self.size = torch.full((len(x), 1, 1, 1), size, dtype=x.dtype, device=x.device)
        self.value = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
        self.best_value, self.checked_value = self.value, self.value
        self.raised = torch.zeros_like(self.value)
        self.was_halved = torch.ones_like(self.value, dtype=torch.bool)  # no halving for this at the first checkpoint

    def observe(self, value: Tensor, gradient: Tensor, *, first: bool) -> None:
        """Take the loss and its gradient at the present points."""
        if not first:
            self.raised = self.raised + (value > self.value)
        better = value > self.best_value
        self.value, self.gradient = value, gradient
        self.best_value = torch.where(better, value, self.best_value)
        self.best_x = torch.where(better[:, None, None, None], self.x, self.best_x)
        self.best_gradient = torch.where(better[:, None, None, None], gradient, self.best_gradient)
        if first:
            self.checked_value = self.best_value

    def keep(self, correct: Tensor) -> None:
        """Drop the samples that are misclassified."""
        for name, part in vars(self).items():
            setattr(self, name, part[correct])

    def halve_where_stuck(self, steps: int) -> None:
        """Halve the step and go back to the best point where the loss rose too rarely in the last steps, or where
        neither the step nor the highest loss has changed since the last checkpoint."""
        rare = self.raised < PROGRESS * steps
        same = ~self.was_halved & (self.best_value <= self.checked_value)
        stuck = rare | same
        at = stuck[:, None, None, None]
        self.size = torch.where(at, self.size / 2, self.size)
        self.x, self.gradient = torch.where(at, self.best_x, self.x), torch.where(at, self.best_gradient, self.gradient)
        self.was_halved, self.checked_value = stuck, self.best_value
        self.raised = torch.zeros_like(self.raised)


def _checkpoints(steps: int) -> dict[int, int]:
    """Return the steps at which progress is judged, each with the one before."""
    gap, shorter, shortest = (max(int(share * steps), 1) for share in (FIRST, SHORTER, SHORTEST))
    result, last = {}, 0
    while last + gap < steps:
        result[last + gap] = last
        last, gap = last + gap, max(gap - shorter, shortest)
    return result
