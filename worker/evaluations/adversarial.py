"""Accuracy under projected gradient descent, over a curve of epsilon."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.attacks.pgd import LOSSES_OF, gradient_is_zero, pgd_l2, pgd_linf
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.prior_result import PriorResult
from densitylab.worker.evaluations.result import Flag, Result
from densitylab.worker.evaluations.robust_accuracy import Attack, Robustness, measure_robustness, robust_accuracy
from densitylab.worker.evaluations.subset import draw_subset


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
    prior_results: Sequence[PriorResult] = (),
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the share of images that stay correctly classified under `pgd_linf`.

    Each epsilon is attacked separately, from the same random starts (scaled), so that its accuracy does not depend on
    the others, and a curve that rises, which a true robust accuracy never does, gets a flag. Epsilon = 0.5, in L2
    0.5 · √(C·H·W), is always probed: the uniformly grey image is in the ball around every image, so no classifier can
    be right on more than the share of the commonest class.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the headline is at the first. [0, 1] pixel scale.
        steps, step_size, restarts, random_start, loss: see `densitylab.worker.attacks.pgd`.
        samples: number of images, see `draw_subset`; None: all.
        prior_results: stored results; an epsilon attacked there with the same parameters is not attacked again.
        generator: draws the random starts.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        See `robust_accuracy`; with flags for zero gradients and for robust images at the probe.

    Raises:
        ValueError: no epsilon, or one out of range.
        Interrupted: `should_stop()` returned True.
    """

    params: dict[str, Any] = {
        "steps": steps,
        "step_size": step_size,
        "restarts": restarts,
        "random_start": random_start,
        "loss": loss,
    }

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return pgd_linf(polled, x, y, epsilon=epsilon, **params, generator=generator)

    return _evaluate(
        attack, model, data, epsilons, 0.5, params, samples, prior_results, generator, progress, should_stop
    )


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
    prior_results: Sequence[PriorResult] = (),
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the share of images that stay correctly classified under `pgd_l2`; otherwise as `pgd_linf_accuracy`."""

    params: dict[str, Any] = {
        "steps": steps,
        "step_size": step_size,
        "restarts": restarts,
        "random_start": random_start,
        "loss": loss,
    }
    probe = 0.5 * math.sqrt(data.images[:1].numel())

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return pgd_l2(polled, x, y, epsilon=epsilon, **params, generator=generator)

    return _evaluate(
        attack, model, data, epsilons, probe, params, samples, prior_results, generator, progress, should_stop
    )


def _evaluate(
    attack: Attack,
    model: nn.Module,
    data: Dataset,
    epsilons: Sequence[float],
    probe: float,
    params: dict[str, Any],
    samples: int | None,
    prior_results: Sequence[PriorResult],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    losses = LOSSES_OF[params["loss"]]
    stuck: dict[str, list[np.ndarray]] = {loss: [] for loss in losses}

    def check_gradients(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> None:
        for loss in losses:
            stuck[loss].append(gradient_is_zero(polled, x, y, loss=loss).cpu().numpy())

    known = _known(prior_results, {**params, "samples": samples}, draw_subset(data, samples))
    robustness = measure_robustness(
        attack,
        model,
        data,
        [*epsilons, probe],
        samples=samples,
        generator=generator,
        progress=progress,
        should_stop=should_stop,
        known=known,
        each_batch=check_gradients,
    )
    result = robust_accuracy(robustness, epsilons)
    clean = robustness.at(0.0)
    result.flags.extend(
        _zero_gradient(
            {loss: int((np.concatenate(zero) & clean).sum()) for loss, zero in stuck.items()}, int(clean.sum())
        )
    )
    result.flags.extend(_robust_at_probe(robustness, probe))
    return result


def _known(
    prior_results: Sequence[PriorResult], params: dict[str, Any], indices: np.ndarray
) -> dict[float, np.ndarray]:
    known: dict[float, np.ndarray] = {}
    for prior in prior_results:
        same = {**prior.params, **params} == prior.params and np.array_equal(prior.arrays.get("indices", ()), indices)
        if same and "held" in prior.arrays and "columns/epsilon" in prior.arrays:
            known.update(zip(prior.arrays["columns/epsilon"].tolist(), prior.arrays["held"].T, strict=True))
    return known


def _zero_gradient(stuck: dict[str, int], right: int) -> list[Flag]:
    losses = " and ".join(f"of the {loss.replace('_', '-')} on {count}" for loss, count in stuck.items() if count > 0)
    if not losses:
        return []
    return [
        Flag(
            "zero_gradient",
            f"Of {right} correctly classified images the gradient {losses} is exactly zero: the "
            "attack can't start there (saturated logits or a step in the model mask it), so the accuracy may be "
            "too high. Next: attack with the margin loss and random restarts, and with a black-box and a transfer "
            "attack, which need no gradient of this model.",
        )
    ]


def _robust_at_probe(robustness: Robustness, probe: float) -> list[Flag]:
    robust, count = int(robustness.at(probe).sum()), len(robustness.labels)
    most = int(np.bincount(robustness.labels).max(initial=0))
    if robust <= most:
        return []
    return [
        Flag(
            "survives_huge_epsilon",
            f"{robust} of {count} images stay correct at epsilon {probe:g}, where each can become "
            f"the same grey image and at most {most} can be correct: the attack fails, and the accuracy at smaller "
            "epsilon may be too high too. Next: more steps and restarts, and a black-box attack.",
        )
    ]
