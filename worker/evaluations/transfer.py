"""Accuracy under an attack that was made for another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densitylab.worker.attacks.pgd import maximise
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.result import Result
from densitylab.worker.evaluations.robust_accuracy import measure_robustness, robust_accuracy
from densitylab.worker.evaluations.white_box import WhiteBox


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
    """Return the share of images that stay correctly classified under a transfer attack, and under PGD.

    The images are attacked through another model (Papernot, McDaniel, Goodfellow 2016): x′ increases the cross-entropy
    of `source` in the L∞ ball until the last step, since points that have only just left the source's class do not
    transfer. PGD attacks the same images through the model itself, for comparison.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        source: the other model, on the same device.
        epsilons: at least one; the headline is at the first, where PGD runs too. [0, 1] pixel scale.
        steps: gradient steps on the source.
        samples: number of images, see `draw_subset`; None: all.
        generator: draws the random starts.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked between attacks.

    Returns:
        See `robust_accuracy`; `WhiteBox.compare` adds to it.

    Raises:
        ValueError: no epsilon, or one out of range.
        Interrupted: `should_stop()` returned True.
    """

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return maximise(
            lambda x_adv: F.cross_entropy(source(x_adv), y, reduction="none"),
            x,
            p_norm="inf",
            epsilon=epsilon,
            steps=steps,
            generator=generator,
        )

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
