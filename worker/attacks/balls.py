"""The L∞ and the L2 ball around images, in [0, 1]: starts, steps and projections."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ball:
    """The operations that depend on the norm; `active` are the indices of the samples in x_adv.

    Args:
        start: () -> random points of the ball.
        corner: () -> random points at the largest distance, before they are projected.
        unit: (N, C, H, W) -> direction of steepest ascent of length 1 in the norm, 0 where the gradient is 0.
        project: (x_adv, active) -> points of the ball in [0, 1], rounding included.
    """

    start: Callable[[], Tensor]
    corner: Callable[[], Tensor]
    unit: Callable[[Tensor], Tensor]
    project: Callable[[Tensor, Tensor], Tensor]


def linf_ball(x: Tensor, epsilon: float, generator: torch.Generator | None) -> Ball:
    """Return the ball of max |x′ − x| ≤ epsilon around x (N, C, H, W)."""
    low, high = box(x, epsilon)

    def corner() -> Tensor:
        drawn = 2 * uniform(x, generator) - 1
        return x + epsilon * drawn / drawn.abs().amax(dim=(1, 2, 3), keepdim=True)

    return Ball(
        start=lambda: x + epsilon * (2 * uniform(x, generator) - 1),
        corner=corner,
        unit=torch.sign,
        project=lambda x_adv, active: torch.minimum(torch.maximum(x_adv, low[active]), high[active]),
    )


def l2_ball(x: Tensor, epsilon: float, generator: torch.Generator | None) -> Ball:
    """Return the ball of ‖x′ − x‖₂ ≤ epsilon around x (N, C, H, W)."""
    features = x[0].numel() if len(x) > 0 else 1
    # the radius is reduced by the largest rounding error of x + delta, so that the result stays in the ball
    rounding = torch.finfo(x.dtype).eps * (math.sqrt(features) + 8 * epsilon)
    radius = max(0.0, epsilon - rounding)

    def start() -> Tensor:
        direction = unit(normal(x, generator))
        length = radius * uniform(x[:, :1, :1, :1], generator) ** (1 / features)
        return x + length * direction

    def project(x_adv: Tensor, active: Tensor) -> Tensor:
        delta = x_adv - x[active]
        shrink = (radius / norm(delta).clamp_min(torch.finfo(x.dtype).tiny)).clamp_max(1.0)
        return (x[active] + shrink * delta).clamp(0.0, 1.0)

    return Ball(start, lambda: x + radius * unit(normal(x, generator)), unit, project)


BALLS = {"2": l2_ball, "inf": linf_ball}


def attackable(
    model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float, **counts: int
) -> tuple[Tensor, Tensor] | None:
    """Return the logits (N, K) of the images and the indices of those that are classified as y, which an attack has to
    change; None if there is nothing to attack: no image, or an epsilon of 0.

    Raises:
        ValueError: one of the `counts`, such as steps, is below 1.
    """
    if min(counts.values()) < 1:
        given = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"expected counts of at least 1, got {given}")
    if epsilon == 0 or len(x) == 0:
        return None
    with torch.no_grad():
        logits = model(x)
    return logits, (logits.argmax(dim=1) == y).nonzero().flatten()


def box(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return the pixel bounds of the L∞ ball in [0, 1], rounded inward."""
    low, high = (x.double() - epsilon).to(x.dtype), (x.double() + epsilon).to(x.dtype)
    low = torch.where(x.double() - low.double() > epsilon, torch.nextafter(low, x), low)
    high = torch.where(high.double() - x.double() > epsilon, torch.nextafter(high, x), high)
    return low.clamp_min(0.0), high.clamp_max(1.0)


def norm(v: Tensor) -> Tensor:
    """Return (N, 1, 1, 1) L2 norms per sample."""
    return torch.linalg.vector_norm(v.flatten(1), dim=1)[:, None, None, None]


def unit(v: Tensor) -> Tensor:
    """Return v / ‖v‖₂ per sample, 0 if v = 0; divided by the largest entry first, so that squares do not underflow."""
    largest = v.abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = v / torch.where(largest == 0, torch.ones_like(largest), largest)
    return scaled / norm(scaled).clamp_min(1.0)


def uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return numbers in [0, 1), drawn on the generator's device."""
    device = like.device if generator is None else generator.device
    return torch.rand(like.shape, dtype=like.dtype, device=device, generator=generator).to(like.device)


def normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return normal numbers, drawn on the generator's device."""
    device = like.device if generator is None else generator.device
    return torch.randn(like.shape, dtype=like.dtype, device=device, generator=generator).to(like.device)
