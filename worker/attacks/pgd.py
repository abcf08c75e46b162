"""Projected gradient descent in the L∞ and the L2 ball.

Source: Madry, Makelov, Schmidt, Tsipras, Vladu, *Towards Deep Learning Models Resistant to Adversarial Attacks*,
ICLR 2018; the margin loss is that of Carlini and Wagner 2017.

Both attacks start at a random point of the ball and maximise one of two losses,

    cross-entropy   −log softmax_y f(x)          margin   max_{j≠y} f_j(x) − f_y(x),

or, with `loss="worst"`, first the one and then the other. An attack on a sample succeeds at the
first point, the clean image included, that is not classified as y, and ends there. `maximise`, for training, makes the
same steps on any loss, for every sample until the last step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LOSSES_OF = {"worst": ("cross_entropy", "margin"), "cross_entropy": ("cross_entropy",), "margin": ("margin",)}


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
        restarts: attempts per loss, at least 1.
        random_start: start at a random point of the ball instead of at x.
        loss: "cross_entropy", "margin", or "worst" for both.
        generator: draws the starts.

    Returns:
        x_adv, shaped like x: the first success of a sample, else the end of the last attempt.

    Raises:
        ValueError: x outside [0, 1], or a parameter outside its range.
    """
    _check(x, epsilon, steps, step_size, restarts, loss)
    ball = _linf_ball(x, epsilon, generator)
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
    ball = _l2_ball(x, epsilon, generator)
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
    if p_norm not in _BALLS:
        raise ValueError(f"expected p_norm to be one of {', '.join(map(repr, _BALLS))}, got {p_norm!r}")
    x = x.detach()
    if epsilon == 0:
        return x.clone()
    ball = _BALLS[p_norm](x, epsilon, generator)
    size = 2.5 * epsilon / steps if step_size is None else step_size
    everyone = torch.arange(len(x), device=x.device)
    x_adv = ball.project(ball.start() if begin is None else begin.detach(), everyone)
    for _ in range(steps):
        with torch.enable_grad():
            x_adv.requires_grad_()
            (gradient,) = torch.autograd.grad(objective(x_adv).sum(), x_adv)
        x_adv = ball.project(ball.ascend(x_adv.detach(), gradient, size), everyone)
    return x_adv


def gradient_is_zero(model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, *, loss: str = "worst") -> Tensor:
    """Return (N,) bool: every gradient of the attack at x is exactly zero, so that it can't start."""
    zero = torch.ones(len(x), dtype=torch.bool, device=x.device)
    with torch.enable_grad():
        inputs = x.detach().requires_grad_()
        logits = model(inputs)
        for objective in _objectives(loss):
            (gradient,) = torch.autograd.grad(objective(logits, y).sum(), inputs, retain_graph=True)
            zero &= (gradient == 0).flatten(1).all(dim=1)
    return zero


@dataclass(frozen=True)
class _Ball:
    """The operations that depend on the norm; `active` are the indices of the samples in x_adv."""

    start: Callable[[], Tensor]
    ascend: Callable[[Tensor, Tensor, float], Tensor]
    project: Callable[[Tensor, Tensor], Tensor]


def _linf_ball(x: Tensor, epsilon: float, generator: torch.Generator | None) -> _Ball:
    low, high = box(x, epsilon)
    return _Ball(
        start=lambda: x + epsilon * (2 * _uniform(x, generator) - 1),
        ascend=lambda x_adv, gradient, size: x_adv + size * gradient.sign(),
        project=lambda x_adv, active: torch.minimum(torch.maximum(x_adv, low[active]), high[active]),
    )


def _l2_ball(x: Tensor, epsilon: float, generator: torch.Generator | None) -> _Ball:
    features = x[0].numel() if len(x) > 0 else 1
    # the radius is reduced by the largest rounding error of x + delta, so that the result stays in the ball
    rounding = torch.finfo(x.dtype).eps * (math.sqrt(features) + 8 * epsilon)
    radius = max(0.0, epsilon - rounding)

    def start() -> Tensor:
        direction = _unit(_normal(x, generator))
        length = radius * _uniform(x[:, :1, :1, :1], generator) ** (1 / features)
        return x + length * direction

    def project(x_adv: Tensor, active: Tensor) -> Tensor:
        delta = x_adv - x[active]
        shrink = (radius / _norm(delta).clamp_min(torch.finfo(x.dtype).tiny)).clamp_max(1.0)
        return (x[active] + shrink * delta).clamp(0.0, 1.0)

    return _Ball(start, lambda x_adv, gradient, size: x_adv + size * _unit(gradient), project)


_BALLS = {"2": _l2_ball, "inf": _linf_ball}


def _attack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    ball: _Ball,
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
        robust = (model(x).argmax(1) == y).nonzero().flatten()
    for objective in _objectives(loss):
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
    ball: _Ball,
    objective: Callable[[Tensor, Tensor], Tensor],
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
            total = objective(logits, y[active]).sum()
            if step < steps:
                (gradient,) = torch.autograd.grad(total, x_adv)
        x_adv = x_adv.detach()
        result[active] = x_adv
        correct = logits.detach().argmax(1) == y[active]
        active, x_adv = active[correct], x_adv[correct]
        if step == steps or len(active) == 0:
            break
        x_adv = ball.project(ball.ascend(x_adv, gradient[correct], size), active)
    return active


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return (N,) max_{j≠y} f_j − f_y, which is above 0 for misclassified samples."""
    labelled = F.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(labelled, -torch.inf).amax(1) - logits.gather(1, y[:, None]).squeeze(1)


def _objectives(loss: str) -> tuple[Callable[[Tensor, Tensor], Tensor], ...]:
    functions = {"cross_entropy": _cross_entropy, "margin": margin}
    return tuple(functions[name] for name in LOSSES_OF[loss])


def box(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return the pixel bounds of the L∞ ball in [0, 1], rounded inward."""
    low, high = (x.double() - epsilon).to(x.dtype), (x.double() + epsilon).to(x.dtype)
    low = torch.where(x.double() - low.double() > epsilon, torch.nextafter(low, x), low)
    high = torch.where(high.double() - x.double() > epsilon, torch.nextafter(high, x), high)
    return low.clamp_min(0.0), high.clamp_max(1.0)


def _norm(v: Tensor) -> Tensor:
    """Return (N, 1, 1, 1) L2 norms per sample."""
    return torch.linalg.vector_norm(v.flatten(1), dim=1)[:, None, None, None]


def _unit(v: Tensor) -> Tensor:
    """Return v / ‖v‖₂ per sample, 0 if v = 0; divided by the largest entry first, so that squares do not underflow."""
    largest = v.abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = v / torch.where(largest == 0, torch.ones_like(largest), largest)
    return scaled / _norm(scaled).clamp_min(1.0)


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return torch.rand(like.shape, dtype=like.dtype, device=device, generator=generator).to(like.device)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return torch.randn(like.shape, dtype=like.dtype, device=device, generator=generator).to(like.device)


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
