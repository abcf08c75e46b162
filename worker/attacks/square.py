"""The Square attack in the L∞ ball: random search that only uses the model's logits.

Source: Andriushchenko, Croce, Flammarion, Hein, *Square Attack: a query-efficient black-box adversarial attack via
random search*, ECCV 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.attacks.balls import box
from densitylab.worker.attacks.losses import margin

# fractions of the search at which the squares' area is halved (of 10,000 queries in the paper)
HALVED_AT = (0.001, 0.005, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8)


def side_at(query: int, queries: int, first_share: float, height: int, width: int) -> int:
    """Return the side of the square at a query of a search of that many queries, at least 1."""
    share = first_share / 2 ** sum(query / queries > at for at in HALVED_AT)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


def square(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    queries: int = 500,
    first_share: float = 0.8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with max |x′ − x| ≤ epsilon in [0, 1], from random squares of ±epsilon that raise the margin loss.

    The search starts with vertical stripes and ends for a sample once it is misclassified.

    Args:
        model: gives logits (N, K); its gradients are not used.
        x: (N, C, H, W) floats in [0, 1].
        y: (N,) labels, which the attack avoids.
        epsilon: largest change of a pixel, on the [0, 1] scale; 0 returns x.
        queries: forward passes of one sample, at least 1.
        first_share: fraction of the image that the first squares cover, in (0, 1].
        generator: draws stripes and squares.

    Returns:
        x_adv, shaped like x.

    Raises:
        ValueError: queries or first_share out of range.
    """
    if queries < 1 or not 0 < first_share <= 1:
        raise ValueError(f"expected queries of at least 1 and first_share in (0, 1], got {queries} and {first_share}")
    result = x.detach().clone()
    if epsilon == 0 or len(x) == 0:
        return result
    count, channels, height, width = x.shape
    low, high = box(x, epsilon)

    def draw(*shape: int) -> Tensor:
        device = x.device if generator is None else generator.device
        return torch.rand(count, *shape, device=device, generator=generator).to(x.device)

    with torch.no_grad():
        active = (margin(model(x), y) < 0).nonzero().flatten()
        loss = torch.full((count,), -torch.inf, dtype=x.dtype, device=x.device)
        for query in range(queries):
            if query == 0:
                up, inside = draw(channels, 1, width) < 0.5, torch.ones(count, 1, height, width, dtype=torch.bool)
                inside = inside.to(x.device)
            else:
                inside = _squares(draw(2), side_at(query, queries, first_share, height, width), height, width)
                up = draw(channels, 1, 1) < 0.5
            if len(active) == 0:
                break
            changed = torch.where(up, high, low)[active]
            tried = torch.where(inside[active], changed, result[active])
            now = margin(model(tried), y[active])
            better = now > loss[active]
            result[active[better]], loss[active[better]] = tried[better], now[better]
            active = active[loss[active] < 0]
    return result


def _squares(corners: Tensor, side: int, height: int, width: int) -> Tensor:
    """Return (N, 1, H, W) bool, a square of that side at the position of (N, 2) numbers in [0, 1)."""
    top = (corners[:, 0] * (height - side + 1)).floor()[:, None, None, None]
    left = (corners[:, 1] * (width - side + 1)).floor()[:, None, None, None]
    row = torch.arange(height, device=corners.device)[:, None]
    column = torch.arange(width, device=corners.device)
    return (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
