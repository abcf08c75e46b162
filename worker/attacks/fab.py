"""FAB: the fast adaptive boundary attack, targeted, which walks along the boundary towards the image.

Source: Croce, Hein, *Minimally distorted adversarial examples with a fast adaptive boundary attack*, ICML 2020; the
targeted form is that of their AutoAttack paper, ICML 2020.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.attacks.balls import BALLS, attackable
from densitylab.worker.attacks.losses import Loss, objectives

LARGEST_ALPHA = 0.1  # weight of the projection of the image beside that of the point
OVERSHOOT = 1.05  # η: how far a step goes beyond the linearised boundary
BACK = 0.9  # β: how far a misclassified point stays from the image


def fab_linf(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int = 100,
    restarts: int = 1,
    target_classes: int = 9,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with max |x′ − x| ≤ epsilon in [0, 1] by FAB-T.

    Each step goes to the boundary f_t = f_y of the linearised model, within [0, 1] and near the image; a misclassified
    point is moved back towards the image. An attack on a sample succeeds at the first misclassified point
    within epsilon, the clean image included, and ends there. Parameters' `.grad` and the train/eval mode stay as they
    are.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) floats in [0, 1].
        y: (N,) labels, which the attack avoids.
        epsilon: largest change of a pixel, on the [0, 1] scale; 0 returns x.
        steps: gradient steps of one attempt, at least 1.
        restarts: attempts per target class, at least 1: the first starts at the image, others at a random point at half
            of epsilon.
        target_classes: how many of the most likely wrong classes are tried, at least 1.
        generator: draws the starts.

    Returns:
        x_adv, shaped like x: the first success of a sample, else the end of the last attempt, brought into the ball.

    Raises:
        ValueError: a parameter is outside its range.
    """
    return _attack(model, x, y, "inf", epsilon, steps, restarts, target_classes, generator)


def fab_l2(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int = 100,
    restarts: int = 1,
    target_classes: int = 9,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with ‖x′ − x‖₂ ≤ epsilon in [0, 1]; otherwise as `fab_linf`."""
    return _attack(model, x, y, "2", epsilon, steps, restarts, target_classes, generator)


def _attack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    p_norm: str,
    epsilon: float,
    steps: int,
    restarts: int,
    target_classes: int,
    generator: torch.Generator | None,
) -> Tensor:
    x = x.detach()
    result = x.clone()
    begun = attackable(model, x, y, epsilon, steps=steps, restarts=restarts, target_classes=target_classes)
    if begun is None:
        return result
    logits, robust = begun
    half, ball = (BALLS[p_norm](x, radius, generator) for radius in (epsilon / 2, epsilon))
    for objective in objectives(["targeted"], logits, y, target_classes):
        for restart in range(restarts):
            begin = x if restart == 0 else half.corner().clamp(0.0, 1.0)
            if len(robust) > 0:
                robust = _attempt(model, begin, x, y, p_norm, epsilon, ball.project, objective, robust, steps, result)
    return result


def _attempt(
    model: Callable[[Tensor], Tensor],
    begin: Tensor,
    x: Tensor,
    y: Tensor,
    p_norm: str,
    epsilon: float,
    project: Callable[[Tensor, Tensor], Tensor],
    objective: Loss,
    active: Tensor,
    steps: int,
    result: Tensor,
) -> Tensor:
    """Attack the samples `active` once; write successes into `result`, return those that stay robust."""
    point = begin[active]
    for _ in range(steps):
        with torch.enable_grad():
            inputs = point.detach().requires_grad_()
            lead = objective(model(inputs), active)  # f_t − f_y, 0 on the boundary
            (slope,) = torch.autograd.grad(lead.sum(), inputs)
        lead, image = lead.detach(), x[active]
        # the boundary is lead + slope · (z − point) = 0
        of_image = lead + (slope * (image - point)).flatten(1).sum(dim=1)
        step, other = _to_boundary(point, slope, lead, p_norm), _to_boundary(image, slope, of_image, p_norm)
        length, other_length = _length(step, p_norm), _length(other, p_norm)
        alpha = (length / (length + other_length).clamp_min(torch.finfo(x.dtype).tiny)).clamp_max(LARGEST_ALPHA)
        point = (1 - alpha) * (point + OVERSHOOT * step) + alpha * (image + OVERSHOOT * other)
        point = point.clamp(0.0, 1.0)
        near = _length(point - image, p_norm).flatten() <= epsilon * (1 + 1e-6)
        inside = project(point, active)  # against rounding; points further away count as misclassified only
        with torch.no_grad():
            wrong = model(torch.where(near[:, None, None, None], inside, point)).argmax(dim=1) != y[active]
        won = wrong & near
        result[active[won]] = inside[won]
        point = torch.where(wrong[:, None, None, None], image + BACK * (point - image), point)
        active, point = active[~won], point[~won]
        if len(active) == 0:
            break
    result[active] = project(point, active)
    return active


def _to_boundary(z: Tensor, slope: Tensor, lead: Tensor, p_norm: str) -> Tensor:
    """Return the smallest step from z (N, C, H, W) that makes lead + slope · step = 0 and stays in [0, 1].

    The step moves pixel i by s · r_i until it meets 0 or 1, with r = |slope| in L2 and 1 in L∞; the change of the lead
    is Σ |slope_i| r_i min(s, s_i), with s_i where the pixel stops. It is concave and piecewise linear in s, so that
    Newton's method from s = 0 never goes too far, and is exact once no further pixel stops. If no step reaches the
    boundary, every pixel goes as far as it can.
    """
    flat, gap = slope.flatten(1).double(), lead.double()[:, None]
    direction = -torch.sign(gap) * torch.sign(flat)
    values = z.flatten(1).double()
    room = torch.where(direction > 0, 1 - values, values)
    size, gap = flat.abs(), gap.abs()
    rate = size if p_norm == "2" else (size > 0).double()
    finite = torch.finfo(torch.float64)
    stop = room / rate.clamp_min(finite.tiny)
    gain, most = size * rate, size * room  # of the lead, per unit of s and at most
    s = torch.zeros_like(gap)
    going = rate > 0
    while True:
        left = gap - most.masked_fill(going, 0).sum(dim=1, keepdim=True)
        per_unit = (gain * going).sum(dim=1, keepdim=True)
        s = torch.where(per_unit > 0, torch.maximum(s, left / per_unit), s).clamp_max(finite.max)
        still = going & (stop > s)
        if torch.equal(still, going):
            break
        going = still
    moved = direction * torch.minimum(s * rate, room)
    return moved.to(z.dtype).view_as(z)


def _length(delta: Tensor, p_norm: str) -> Tensor:
    """Return (N, 1, 1, 1) lengths in the norm."""
    order = torch.inf if p_norm == "inf" else 2
    return torch.linalg.vector_norm(delta.flatten(1), ord=order, dim=1)[:, None, None, None]
