"""AutoAttack in the L∞ and the L2 ball: four attacks one after the other, without parameters to tune.

Source: Croce, Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks*,
ICML 2020, their standard version.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.attacks.apgd import apgd_l2, apgd_linf
from densitylab.worker.attacks.fab import fab_l2, fab_linf
from densitylab.worker.attacks.losses import DLR_CLASSES, TARGETED_DLR_CLASSES
from densitylab.worker.attacks.square import square
from densitylab.worker.attacks.square_l2 import square_l2

QUERIES = 5000  # of the Square attack
Attack = Callable[..., Tensor]


def autoattack_linf(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with max |x′ − x| ≤ epsilon in [0, 1] by APGD on the cross-entropy, APGD on the targeted DLR, FAB-T and
    Square, each on the samples that are still correct.

    The targeted DLR needs four classes. With three, APGD on the DLR takes its place, with two, APGD on the margin.
    Square halves its squares at the fractions of its queries at which the paper does, of 5,000 queries.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) floats in [0, 1].
        y: (N,) labels, which the attack avoids.
        epsilon: largest change of a pixel, on the [0, 1] scale; 0 returns x.
        generator: draws starts and squares.

    Returns:
        x_adv, shaped like x: the first success of a sample, else the last attack's.
    """
    return _attack(model, x, y, epsilon, generator, apgd_linf, fab_linf, square)


def autoattack_l2(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ with ‖x′ − x‖₂ ≤ epsilon in [0, 1]; otherwise as `autoattack_linf`."""
    return _attack(model, x, y, epsilon, generator, apgd_l2, fab_l2, square_l2)


def second_loss(classes: int) -> str:
    """Return the loss of the second APGD for a model of that many classes."""
    if classes >= TARGETED_DLR_CLASSES:
        return "targeted_dlr"
    return "dlr" if classes >= DLR_CLASSES else "margin"


def _attack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    epsilon: float,
    generator: torch.Generator | None,
    apgd: Attack,
    fab: Attack,
    random_search: Attack,
) -> Tensor:
    result = x.detach().clone()
    if epsilon == 0 or len(x) == 0:
        return result
    with torch.no_grad():
        logits = model(result)
    robust = (logits.argmax(dim=1) == y).nonzero().flatten()
    parts: list[tuple[Attack, dict[str, object]]] = [
        (apgd, {"loss": "cross_entropy"}),
        (apgd, {"loss": second_loss(logits.shape[1])}),
        (fab, {}),
        (random_search, {"queries": QUERIES}),
    ]
    for attack, options in parts:
        if len(robust) == 0:
            break
        x_adv = attack(model, x[robust], y[robust], epsilon=epsilon, generator=generator, **options)
        with torch.no_grad():
            broken = model(x_adv).argmax(dim=1) != y[robust]
        result[robust] = x_adv
        robust = robust[~broken]
    return result
