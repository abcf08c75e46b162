"""Accuracy under the Square attack, which only uses the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from densitylab.worker.attacks.square import square
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.result import Result
from densitylab.worker.evaluations.robust_accuracy import measure_robustness, robust_accuracy
from densitylab.worker.evaluations.white_box import WhiteBox


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
    """Return the share of images that stay correctly classified under the Square attack, and under PGD.

    See `densitylab.worker.attacks.square`; PGD attacks the same images for comparison.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the headline is at the first, where PGD runs too. [0, 1] pixel scale.
        queries: forward passes of one image, at each epsilon.
        samples: number of images, see `draw_subset`; None: all.
        generator: draws the squares, and PGD's starts.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        See `robust_accuracy`; `WhiteBox.compare` adds to it.

    Raises:
        ValueError: no epsilon, or one out of range.
        Interrupted: `should_stop()` returned True.
    """

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return square(polled, x, y, epsilon=epsilon, queries=queries, generator=generator)

    white_box = WhiteBox(float(epsilons[0]), generator)
    robustness = measure_robustness(
        attack,
        model,
        data,
        epsilons,
        samples=samples,
        generator=generator,
        progress=progress,
        should_stop=should_stop,
        each_batch=white_box.attack,
    )
    result = robust_accuracy(robustness, epsilons)
    white_box.compare(result, robustness.at(epsilons[0]))
    return result
