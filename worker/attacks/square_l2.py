"""The Square attack in the L2 ball: random search that only uses the model's logits.

Source: Andriushchenko, Croce, Flammarion, Hein, *Square Attack: a query-efficient black-box adversarial attack via
random search*, ECCV 2020, algorithm 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from densitylab.worker.attacks.balls import l2_ball, norm
from densitylab.worker.attacks.losses import margin
from densitylab.worker.attacks.square import side_at

SMALLEST = 3  # side of a square
TINY = 1e-12


def square_l2(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    queries: int = 500,
    first_share: float = 0.8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with ‖x′ − x‖₂ ≤ epsilon in [0, 1], from random squares that raise the margin loss.

    A query takes the change out of one square and puts its energy, and what is left of epsilon, into another one. The
    search starts with a grid of squares and ends for a sample once it is misclassified.

    Args:
        model: gives logits (N, K); its gradients are not used.
        x: (N, C, H, W) floats in [0, 1], with sides of at least 3.
        y: (N,) labels, which the attack avoids.
        epsilon: L2 norm of the change, in [0, 1] pixel units; 0 returns x.
        queries: forward passes of one sample, at least 1.
        first_share: fraction of the image that the first squares cover, in (0, 1].
        generator: draws the squares, at the same places for all images, and the signs.

    Returns:
        x_adv, shaped like x.

    Raises:
        ValueError: queries or first_share out of range, or images that are too small.
    """
    if queries < 1 or not 0 < first_share <= 1:
        raise ValueError(f"expected queries of at least 1 and first_share in (0, 1], got {queries} and {first_share}")
    count, channels, height, width = x.shape
    if min(height, width) < SMALLEST:
        raise ValueError(f"expected images of at least {SMALLEST}×{SMALLEST} pixels, got {height}×{width}")
    x = x.detach()
    result = x.clone()
    if epsilon == 0 or count == 0:
        return result
    project = l2_ball(x, epsilon, None).project

    def draw(*shape: int) -> Tensor:
        device = x.device if generator is None else generator.device
        return torch.rand(shape, device=device, generator=generator).to(x.device, x.dtype)

    def signs() -> Tensor:
        return torch.where(draw(count, channels, 1, 1) < 0.5, -1.0, 1.0).to(x.dtype)

    def square(side: int) -> tuple[slice, slice]:
        top, left = (
            int(part) for part in (draw(2) * torch.tensor([height - side + 1, width - side + 1]).to(x)).floor()
        )
        return slice(top, top + side), slice(left, left + side)

    with torch.no_grad():
        active = (margin(model(x), y) < 0).nonzero().flatten()
        loss = torch.full((count,), -torch.inf, dtype=x.dtype, device=x.device)
        for query in range(queries):
            if query == 0:
                delta = _grid(x, signs, draw)
            else:
                side = _odd(side_at(query, queries, first_share, height, width), min(height, width))
                sign, turned, new, old = signs(), bool(draw(1) < 0.5), square(side), square(side)
                bump = _bump(side, turned).to(x)
            if len(active) == 0:
                break
            if query > 0:
                delta = _moved(result[active] - x[active], new, old, bump * sign[active], epsilon)
            else:
                delta = delta[active]
            tried = project(x[active] + epsilon * delta / norm(delta).clamp_min(TINY), active)
            now = margin(model(tried), y[active])
            better = now > loss[active]
            result[active[better]], loss[active[better]] = tried[better], now[better]
            active = active[loss[active] < 0]
    return result


def _grid(x: Tensor, signs: Callable[[], Tensor], draw: Callable[..., Tensor]) -> Tensor:
    """Return bumps of a fifth of the height side by side, each with random signs."""
    height, width = x.shape[2:]
    side = max(min(height // 5, width), 1)
    delta = torch.zeros_like(x)
    for top in range((height % side) // 2, height - side + 1, side):
        for left in range((width % side) // 2, width - side + 1, side):
            delta[:, :, top : top + side, left : left + side] = _bump(side, bool(draw(1) < 0.5)).to(x) * signs()
    return delta


def _moved(delta: Tensor, new: tuple[slice, slice], old: tuple[slice, slice], bump: Tensor, epsilon: float) -> Tensor:
    """Return the change without its part in `old`, and with a new bump in `new` that has the energy of both parts and
    of what is left of epsilon, shared by the channels."""
    inside = torch.zeros_like(delta[:1, :1], dtype=torch.bool)
    inside[(..., *new)] = True
    inside[(..., *old)] = True
    here = delta[(..., *new)]
    of_channel = (delta * inside).square().sum(dim=(2, 3), keepdim=True)
    left = (epsilon**2 - delta.square().sum(dim=(1, 2, 3), keepdim=True)).clamp_min(0) / delta.shape[1]
    bump = bump + here / norm(here).clamp_min(TINY)
    size = torch.linalg.vector_norm(bump, dim=(2, 3), keepdim=True).clamp_min(TINY)
    result = delta.clone()
    result[(..., *old)] = 0
    result[(..., *new)] = bump / size * (left + of_channel).sqrt()
    return result


@lru_cache(maxsize=32)  # a search has few sides
def _bump(side: int, turned: bool) -> Tensor:
    """Return a square of norm 1 of two halves of opposite signs, each highest in its middle."""
    half = side // 2
    bump = torch.cat([_pyramid(half, side), -_pyramid(side - half, side)]) if half > 0 else torch.ones(side, side)
    bump = bump / torch.linalg.vector_norm(bump)
    return bump.T if turned else bump


def _pyramid(height: int, width: int) -> Tensor:
    """Return Σ_k 1/k² over nested rectangles, the k-th 2k − 1 wide around the middle and cut to the size; norm 1."""
    row, column = torch.arange(height) - height // 2, torch.arange(width) - width // 2
    ring = torch.maximum(row.abs()[:, None], column.abs()[None]) + 1  # the first rectangle that has the pixel
    steps = 1.0 / torch.arange(1, int(ring.max()) + 1) ** 2
    tail = steps.flip(0).cumsum(0).flip(0)
    result = tail[ring - 1]
    return result / torch.linalg.vector_norm(result)


def _odd(side: int, largest: int) -> int:
    """Return an odd side from 3 to the largest that fits."""
    side = max(side, SMALLEST)
    side += 1 - side % 2
    return side if side <= largest else largest - 1 + largest % 2
