"""Which images an attack leaves rightly classified, over a curve of epsilon: what every attack's measure shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from worker.datasets.dataset import Dataset
from worker.evaluations.batches import batches
from worker.evaluations.result import Curve, Flag, Result, at_chance, few_samples, proportion
from worker.stopped import Stopped

Attack = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, float], Tensor]  # (model, x, y, epsilon) -> x_adv


@dataclass(frozen=True)
class Survival:
    """What held.

    Args:
        epsilons: ascending, 0 first.
        held: (N, E) bool, image by epsilon.
        labels: (N,).
        classes: K.
    """

    epsilons: list[float]
    held: np.ndarray
    labels: np.ndarray
    classes: int

    def at(self, epsilon: float) -> np.ndarray:
        """(N,) bool."""
        return self.held[:, self.epsilons.index(float(epsilon))]


def survive(
    attack: Attack,
    model: nn.Module,
    data: Dataset,
    epsilons: Sequence[float],
    *,
    samples: int | None,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    known: dict[float, np.ndarray] | None = None,
    each_batch: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], None] = lambda model, x, y: None,
) -> Survival:
    """Attacks every image at every epsilon, each epsilon on its own but from the same draws.

    Args:
        attack: what to do; its model asks `should_stop` at every pass.
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; 0, the clean image, is added.
        samples: only the first so many images; None: all.
        generator: what the attack draws from; its seed, and not its state, decides the draws.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before every forward pass.
        known: (N,) what held at these epsilons, from an earlier evaluation: not attacked again.
        each_batch: called once with each batch besides.

    Raises:
        ValueError: no epsilon, or one out of range.
        Stopped: `should_stop()` answered True.
    """
    if len(epsilons) == 0:
        raise ValueError("expected at least one epsilon, got none")
    ascending = sorted({0.0, *map(float, epsilons)})
    classes = 1

    def polled(x: Tensor) -> Tensor:
        # an attack on a large model takes long: asking here ends it within one pass
        nonlocal classes
        if should_stop():
            raise Stopped("the evaluation was stopped")
        logits = model(x)
        classes = logits.shape[1]
        return logits

    # each batch draws from a seed of its own, so that what is known already changes no other figure
    seed = generator.initial_seed()
    total = len(data) if samples is None else min(samples, len(data))
    held = np.zeros((total, len(ascending)), bool)
    for part, x, y in batches(model, data, samples, progress=progress, should_stop=should_stop):
        for number, epsilon in enumerate(ascending):
            progress((part.start + (part.stop - part.start) * number / len(ascending)) / total)
            if known is not None and epsilon in known:
                held[part, number] = known[epsilon][part]
                continue
            generator.manual_seed(seed + part.start)
            x_adv = attack(polled, x, y, epsilon)
            with torch.no_grad():
                held[part, number] = (polled(x_adv).argmax(dim=1) == y).cpu().numpy()
        each_batch(polled, x, y)
    return Survival(ascending, held, data.labels[:total].cpu().numpy(), classes)


def survival_result(survival: Survival, asked: Sequence[float]) -> Result:
    """The value `accuracy` at the first epsilon asked for, the curve `accuracy` over 0 and all of them (Wilson), the
    flags that any attack's figure may need, and the arrays `broken_at` (per image the smallest epsilon asked for at
    which it was broken, 0 for one that is classified wrongly as it is, inf for one that held throughout) and `held`
    (N, E)."""
    shown = sorted({0.0, *map(float, asked)})
    held = np.array([survival.at(epsilon) for epsilon in shown])
    right = held.sum(axis=1)
    count = held.shape[1]
    points = [proportion(int(number), count, higher_is_better=True) for number in right]
    broken_at = np.where(held.all(axis=0), np.inf, np.array(shown)[held.argmin(axis=0)])
    flags = few_samples(count) + at_chance(held[0], survival.classes)
    rises = [i for i in range(len(shown) - 1) if right[i + 1] > right[i]]
    if rises:
        i = rises[0]
        flags.append(Flag("rises_with_epsilon", f"Accuracy rises from {right[i]} to {right[i + 1]} of {count} between "
                          f"epsilon {shown[i]:g} and {shown[i + 1]:g}, which no true robust accuracy does: the attack "
                          "is too weak there. Next: more steps and restarts, or a smaller step size."))
    return Result(
        values={"accuracy": points[shown.index(float(asked[0]))]},
        curves={"accuracy": Curve(
            x=shown, y=[point.value for point in points], low=[point.low for point in points],
            high=[point.high for point in points], x_label="epsilon", y_label="adversarial accuracy",
        )},
        flags=flags,
        arrays={"broken_at": broken_at.astype(np.float32), "held": survival.held},
    )
