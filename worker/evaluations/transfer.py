"""Accuracy under an attack that was made for another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.attacks.pgd import maximise
from worker.datasets.dataset import Dataset
from worker.evaluations.result import Result
from worker.evaluations.survival import survival_result, survive
from worker.evaluations.white_box import WhiteBox


def transfer_accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    source: nn.Module,
    epsilons: Sequence[float] = (0.1,),
    steps: int = 40,
    samples: int | None = None,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images that stay classified rightly when they are attacked through `source` instead (Papernot,
    McDaniel, Goodfellow 2016), beside PGD's on the same images.

    x′ climbs the cross-entropy of `source` in the L∞ ball to the last step: points that have only just left the
    source's class would not carry over.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        source: the other model, on the same device.
        epsilons: at least one; the first is the headline, and where PGD is run. [0, 1] pixel scale.
        steps: gradient steps on the source.
        samples: only the first so many images; None: all.
        generator: draws the random starts.
        progress: told the fraction done, 0 to 1.
        should_stop: asked between attacks.

    Returns:
        as `survival_result`, with what `WhiteBox.compare` adds.

    Raises:
        ValueError: no epsilon, or one out of range.
        Stopped: `should_stop()` answered True.
    """

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return maximise(
            lambda x_adv: F.cross_entropy(source(x_adv), y, reduction="none"), x, p_norm="inf", epsilon=epsilon,
            steps=steps, generator=generator,
        )

    white_box = WhiteBox(float(epsilons[0]), generator)
    survival = survive(
        attack, model, data, epsilons, samples=samples, generator=generator, progress=progress,
        should_stop=should_stop, each_batch=white_box.attack,
    )
    result = survival_result(survival, epsilons)
    white_box.compare(result, survival.at(epsilons[0]))
    return result
