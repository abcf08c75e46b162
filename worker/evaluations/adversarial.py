"""Accuracy under projected gradient descent, over a curve of epsilon."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worker.attacks.pgd import LOSSES_OF, gradient_is_zero, pgd_l2, pgd_linf
from worker.datasets.dataset import Dataset
from worker.evaluations.earlier import Earlier
from worker.evaluations.result import Flag, Result
from worker.evaluations.survival import Attack, Survival, survival_result, survive


def pgd_linf_accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    epsilons: Sequence[float] = (0.1,),
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    loss: str = "worst",
    samples: int | None = None,
    earlier: Sequence[Earlier] = (),
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images that stay classified rightly under `pgd_linf`.

    Each epsilon is attacked on its own, from the same random starts (scaled), so that its figure does not depend
    on the others and a curve that rises, which no true robust accuracy does, is seen and flagged. Epsilon = 0.5, in
    L2 0.5 · √(C·H·W), is always probed: the uniformly grey image is within its reach from anywhere, so no classifier
    can hold more than the share of the commonest class.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the first is the headline. [0, 1] pixel scale.
        steps, step_size, restarts, random_start, loss: see `worker.attacks.pgd`.
        samples: only the first so many images; None: all.
        earlier: figures that are kept; an epsilon attacked there with the same parameters is not attacked again.
        generator: draws the random starts.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        as `survival_result`, with flags for gradients of zero and for survival at the probe.

    Raises:
        ValueError: no epsilon, or one out of range.
        Stopped: `should_stop()` answered True.
    """

    params = {"steps": steps, "step_size": step_size, "restarts": restarts, "random_start": random_start, "loss": loss}

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return pgd_linf(polled, x, y, epsilon=epsilon, **params, generator=generator)

    return _measured(attack, model, data, epsilons, 0.5, params, samples, earlier, generator, progress, should_stop)


def pgd_l2_accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    epsilons: Sequence[float] = (1.0,),
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    loss: str = "worst",
    samples: int | None = None,
    earlier: Sequence[Earlier] = (),
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images that stay classified rightly under `pgd_l2`; otherwise as `pgd_linf_accuracy`."""

    params = {"steps": steps, "step_size": step_size, "restarts": restarts, "random_start": random_start, "loss": loss}
    probe = 0.5 * math.sqrt(data.images[:1].numel())

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return pgd_l2(polled, x, y, epsilon=epsilon, **params, generator=generator)

    return _measured(attack, model, data, epsilons, probe, params, samples, earlier, generator, progress, should_stop)


def _measured(
    attack: Attack,
    model: nn.Module,
    data: Dataset,
    epsilons: Sequence[float],
    probe: float,
    params: dict[str, Any],
    samples: int | None,
    earlier: Sequence[Earlier],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    losses = LOSSES_OF[params["loss"]]
    stuck: dict[str, list[np.ndarray]] = {loss: [] for loss in losses}

    def look_at_gradients(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> None:
        for loss in losses:
            stuck[loss].append(gradient_is_zero(polled, x, y, loss=loss).cpu().numpy())

    known = _known(earlier, {**params, "samples": samples}, probe)
    survival = survive(
        attack, model, data, [*epsilons, probe], samples=samples, generator=generator, progress=progress,
        should_stop=should_stop, known=known, each_batch=look_at_gradients,
    )
    result = survival_result(survival, epsilons)
    clean = survival.at(0.0)
    result.flags.extend(_zero_gradient(
        {loss: int((np.concatenate(zero) & clean).sum()) for loss, zero in stuck.items()}, int(clean.sum())
    ))
    result.flags.extend(_survives(survival, probe))
    return result


def _known(earlier: Sequence[Earlier], params: dict[str, Any], probe: float) -> dict[float, np.ndarray]:
    known: dict[float, np.ndarray] = {}
    for kept in earlier:
        if {**kept.params, **params} == kept.params and "held" in kept.arrays:
            columns = sorted({0.0, probe, *map(float, kept.params["epsilons"])})
            known.update(zip(columns, kept.arrays["held"].T, strict=True))
    return known


def _zero_gradient(stuck: dict[str, int], right: int) -> list[Flag]:
    told = " and ".join(f"of the {loss.replace('_', '-')} on {count}" for loss, count in stuck.items() if count > 0)
    if not told:
        return []
    return [Flag("zero_gradient", f"Of {right} rightly classified images the gradient {told} is exactly zero: that "
                 "attack can't begin there (saturated logits or a step in the model mask it), so the accuracy may be "
                 "too high. Next: attack with the margin loss and random restarts, and with a black-box and a transfer "
                 "attack, which need no gradient of this model.")]


def _survives(survival: Survival, probe: float) -> list[Flag]:
    held, count = int(survival.at(probe).sum()), len(survival.labels)
    most = int(np.bincount(survival.labels).max(initial=0))
    if held <= most:
        return []
    return [Flag("survives_huge_epsilon", f"{held} of {count} images hold at epsilon {probe:g}, where all can be "
                 f"turned into the same grey image and at most {most} can be right: the attack fails, and the accuracy "
                 "at smaller epsilon may be too high too. Next: more steps and restarts, and a black-box attack.")]
