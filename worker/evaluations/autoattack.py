"""Accuracy under AutoAttack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from worker.attacks.autoattack import autoattack
from worker.datasets.dataset import Dataset
from worker.evaluations.result import Result
from worker.evaluations.survival import survival_result, survive


def autoattack_accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    epsilons: Sequence[float] = (0.1,),
    samples: int | None = 200,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images that stay classified rightly under `worker.attacks.autoattack`.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the first is the headline. [0, 1] pixel scale.
        samples: only the first so many images; None: all.
        generator: seeds the attack.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        as `survival_result`.

    Raises:
        ValueError: no epsilon, or one out of range.
        RuntimeError: the package is not installed.
        Stopped: `should_stop()` answered True.
    """

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return autoattack(polled, x, y, epsilon=epsilon, generator=generator)

    survival = survive(
        attack, model, data, epsilons, samples=samples, generator=generator, progress=progress,
        should_stop=should_stop,
    )
    return survival_result(survival, epsilons)
