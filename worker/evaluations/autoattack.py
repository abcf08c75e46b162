"""Accuracy under AutoAttack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from densitylab.worker.attacks.autoattack import RATIO_CLASSES, autoattack
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.result import Flag, Result
from densitylab.worker.evaluations.robust_accuracy import measure_robustness, robust_accuracy


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
    """Return the share of images that stay correctly classified under `densitylab.worker.attacks.autoattack`.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the headline is at the first. [0, 1] pixel scale.
        samples: number of images, see `draw_subset`; None: all.
        generator: seeds the attack.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        See `robust_accuracy`; with two classes a flag names the part of the attack that is left out.

    Raises:
        ValueError: no epsilon, or one out of range.
        RuntimeError: the package is not installed.
        Interrupted: `should_stop()` returned True.
    """

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return autoattack(polled, x, y, epsilon=epsilon, generator=generator)

    robustness = measure_robustness(
        attack,
        model,
        data,
        epsilons,
        samples=samples,
        generator=generator,
        progress=progress,
        should_stop=should_stop,
    )
    result = robust_accuracy(robustness, epsilons)
    if len(robustness.robust) and robustness.classes < RATIO_CLASSES:
        result.flags.append(
            Flag(
                "without_ratio_loss",
                f"AutoAttack ran without its attack on the difference of logits ratio, which needs {RATIO_CLASSES} "
                "classes: APGD on the cross-entropy, DeepFool and Square are left. Next: compare with PGD, whose "
                "margin loss needs two.",
            )
        )
    return result
