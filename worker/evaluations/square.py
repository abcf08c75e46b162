"""Accuracy under the Square attack, which sees the logits alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from worker.attacks.square import square
from worker.datasets.dataset import Dataset
from worker.evaluations.result import Result
from worker.evaluations.survival import survival_result, survive
from worker.evaluations.white_box import WhiteBox


def square_accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    epsilons: Sequence[float] = (0.1,),
    queries: int = 500,
    samples: int | None = 500,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images that stay classified rightly under `worker.attacks.square`, beside PGD's on the same images.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the first is the headline, and where PGD is run. [0, 1] pixel scale.
        queries: forward passes of one image, at each epsilon.
        samples: only the first so many images; None: all.
        generator: draws the squares, and PGD's starts.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        as `survival_result`, with what `WhiteBox.compare` adds.

    Raises:
        ValueError: no epsilon, or one out of range.
        Stopped: `should_stop()` answered True.
    """

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return square(polled, x, y, epsilon=epsilon, queries=queries, generator=generator)

    white_box = WhiteBox(float(epsilons[0]), generator)
    survival = survive(
        attack, model, data, epsilons, samples=samples, generator=generator, progress=progress,
        should_stop=should_stop, each_batch=white_box.attack,
    )
    result = survival_result(survival, epsilons)
    white_box.compare(result, survival.at(epsilons[0]))
    return result
