"""Accuracy under AutoAttack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from densitylab.worker.attacks.autoattack import autoattack_l2, autoattack_linf, second_loss
from densitylab.worker.attacks.losses import TARGETED_DLR_CLASSES
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.result import Flag, Result
from densitylab.worker.evaluations.robust_accuracy import measure_robustness, robust_accuracy


def autoattack_linf_accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    epsilons: Sequence[float] = (0.1,),
    samples: int | None = 200,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the share of images that stay correctly classified under `densitylab.worker.attacks.autoattack`, in L∞.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the headline is at the first. [0, 1] pixel scale.
        samples: number of images, see `draw_subset`; None: all.
        generator: draws starts and squares.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        See `robust_accuracy`; with fewer than four classes a flag names what takes the place of the targeted attack.

    Raises:
        ValueError: no epsilon, or one out of range.
        Interrupted: `should_stop()` returned True.
    """
    return _evaluate(autoattack_linf, model, data, epsilons, samples, generator, progress, should_stop)


def autoattack_l2_accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    epsilons: Sequence[float] = (1.0,),
    samples: int | None = 200,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the share of images that stay correctly classified under AutoAttack in L2; as `autoattack_linf_accuracy`.

    `epsilons` are L2 norms in [0, 1] pixel units.
    """
    return _evaluate(autoattack_l2, model, data, epsilons, samples, generator, progress, should_stop)


def _evaluate(
    autoattack: Callable[..., Tensor],
    model: nn.Module,
    data: Dataset,
    epsilons: Sequence[float],
    samples: int | None,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
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
    if len(robustness.robust) and robustness.classes < TARGETED_DLR_CLASSES:
        loss = "difference of logits ratio" if second_loss(robustness.classes) == "dlr" else "margin"
        result.flags.append(
            Flag(
                "without_targeted_dlr",
                f"AutoAttack's targeted APGD needs {TARGETED_DLR_CLASSES} classes and this model has "
                f"{robustness.classes}: APGD on the {loss}, untargeted, took its place; FAB-T and Square ran as "
                "published. Say so where you report the figure as AutoAttack.",
            )
        )
    return result
