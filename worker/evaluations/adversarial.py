"""Accuracy under projected gradient descent, over a curve of epsilon."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from worker.attacks.pgd import gradient_is_zero, pgd_l2, pgd_linf
from worker.datasets.dataset import Dataset
from worker.evaluations.batches import batches
from worker.evaluations.result import Curve, Flag, Result, few_samples, proportion
from worker.stopped import Stopped


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
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images that stay classified rightly under `pgd_linf`.

    Each epsilon is attacked on its own, from the same random starts (scaled), so that its figure does not depend
    on the others and a curve that rises, which no true robust accuracy does, is seen and flagged.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; the first is the headline. [0, 1] pixel scale.
        steps, step_size, restarts, random_start, loss: see `worker.attacks.pgd`.
        samples: only the first so many images; None: all.
        generator: draws the random starts.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before every forward pass.

    Returns:
        value `accuracy` at the first epsilon (Wilson); curve `accuracy` over all epsilons and 0, ascending;
        array `broken_at`: per image the smallest epsilon at which it was broken, 0 for one that is classified
        wrongly as it is, inf for one that held throughout.

    Raises:
        ValueError: no epsilon, or one out of range.
        Stopped: `should_stop()` answered True.
    """

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return pgd_linf(
            polled, x, y, epsilon=epsilon, steps=steps, step_size=step_size, restarts=restarts,
            random_start=random_start, loss=loss, generator=generator,
        )

    return _curve(attack, model, data, epsilons, loss, samples, generator, progress, should_stop)


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
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images that stay classified rightly under `pgd_l2`; otherwise as `pgd_linf_accuracy`."""

    def attack(polled: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return pgd_l2(
            polled, x, y, epsilon=epsilon, steps=steps, step_size=step_size, restarts=restarts,
            random_start=random_start, loss=loss, generator=generator,
        )

    return _curve(attack, model, data, epsilons, loss, samples, generator, progress, should_stop)


def _curve(
    attack: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, float], Tensor],
    model: nn.Module,
    data: Dataset,
    epsilons: Sequence[float],
    loss: str,
    samples: int | None,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    if len(epsilons) == 0:
        raise ValueError("expected at least one epsilon, got none")
    ascending = sorted({0.0, *map(float, epsilons)})

    def polled(x: Tensor) -> Tensor:
        # an attack on a large model takes long: asking here ends it within one pass
        if should_stop():
            raise Stopped("the evaluation was stopped")
        return model(x)

    survived: dict[float, list[np.ndarray]] = {epsilon: [] for epsilon in ascending}
    stuck = 0
    total = len(data) if samples is None else min(samples, len(data))
    for part, x, y in batches(model, data, samples, progress=progress, should_stop=should_stop):
        starts = generator.get_state()
        for number, epsilon in enumerate(ascending):
            progress((part.start + (part.stop - part.start) * number / len(ascending)) / total)
            generator.set_state(starts)
            x_adv = attack(polled, x, y, epsilon)
            with torch.no_grad():
                holds = polled(x_adv).argmax(dim=1) == y
            survived[epsilon].append(holds.cpu().numpy())
        clean = torch.from_numpy(survived[0.0][-1]).to(x.device)
        stuck += int((gradient_is_zero(polled, x, y, loss=loss) & clean).sum())

    held = np.array([np.concatenate(survived[epsilon]) for epsilon in ascending])
    points = [proportion(int(row.sum()), len(row), higher_is_better=True) for row in held]
    broken_at = np.where(held.all(axis=0), np.inf, np.array(ascending)[held.argmin(axis=0)])
    return Result(
        values={"accuracy": points[ascending.index(float(epsilons[0]))]},
        curves={
            "accuracy": Curve(
                x=ascending, y=[point.value for point in points], low=[point.low for point in points],
                high=[point.high for point in points], x_label="epsilon", y_label="adversarial accuracy",
            )
        },
        flags=_flags(ascending, held, stuck),
        arrays={"broken_at": broken_at.astype(np.float32)},
    )


def _flags(epsilons: list[float], held: np.ndarray, stuck: int) -> list[Flag]:
    count = held.shape[1]
    flags = few_samples(count)
    if stuck > 0:
        flags.append(Flag("zero_gradient", f"{stuck} of {int(held[0].sum())} rightly classified images have a loss "
                          "gradient of exactly zero: the attack can't begin there, so the accuracy may be too high."))
    right = held.sum(axis=1)
    rises = [i for i in range(len(epsilons) - 1) if right[i + 1] > right[i]]
    if rises:
        i = rises[0]
        flags.append(Flag("rises_with_epsilon", f"Accuracy rises from {right[i]} to {right[i + 1]} of {count} between "
                          f"epsilon {epsilons[i]:g} and {epsilons[i + 1]:g}: the attack is too weak there."))
    return flags
