"""Robust accuracy under any attack, over a curve of epsilon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.errors import Interrupted
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import Curve, Flag, Result, at_chance, few_of_group, few_samples, proportion
from densitylab.worker.evaluations.subset import draw_subset
from densitylab.worker.evaluations.worst_group import worst_group

Attack = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, float], Tensor]  # (model, x, y, epsilon) -> x_adv


@dataclass(frozen=True)
class Robustness:
    """The images that stay correctly classified under an attack.

    Args:
        epsilons: ascending, 0 first.
        robust: (N, E) bool, image by epsilon.
        labels: (N,).
        classes: K.
        indices: (N,) of the images in the data set.
        available: number of images in the data set.
        groups: (N,); None where the data set has none.
        group_sizes: (G,) numbers of images in the data set; empty where it has no groups.
    """

    epsilons: list[float]
    robust: np.ndarray
    labels: np.ndarray
    classes: int
    indices: np.ndarray
    available: int
    groups: np.ndarray | None
    group_sizes: np.ndarray

    def at(self, epsilon: float) -> np.ndarray:
        """Return (N,) bool, the images that are robust at `epsilon`."""
        return self.robust[:, self.epsilons.index(float(epsilon))]


def measure_robustness(
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
) -> Robustness:
    """Attack every image at every epsilon, each epsilon separately but with the same draws.

    Args:
        attack: (model, x, y, epsilon) -> x_adv; its model asks `should_stop` at every pass.
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        epsilons: at least one; 0, the clean image, is added.
        samples: number of images, see `draw_subset`; None: all.
        generator: of the attack; its seed, not its state, determines the draws.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before every forward pass.
        known: (N,) bool by epsilon, from a prior evaluation; these epsilons are not attacked again.
        each_batch: called once with each batch.

    Raises:
        ValueError: no epsilon, or one out of range.
        Interrupted: `should_stop()` returned True.
    """
    if len(epsilons) == 0:
        raise ValueError("expected at least one epsilon, got none")
    ascending = sorted({0.0, *map(float, epsilons)})
    classes = 1

    def polled(x: Tensor) -> Tensor:
        # an attack on a large model takes long: asking here ends it within one pass
        nonlocal classes
        if should_stop():
            raise Interrupted("the evaluation was stopped")
        logits = model(x)
        classes = logits.shape[1]
        return logits

    # each batch has a seed of its own, so that known epsilons do not change the draws of others
    seed = generator.initial_seed()
    indices = draw_subset(data, samples)
    total = len(indices)
    robust = np.zeros((total, len(ascending)), bool)
    for part, x, y in batches(model, data, indices, progress=progress, should_stop=should_stop):
        for number, epsilon in enumerate(ascending):
            progress((part.start + (part.stop - part.start) * number / len(ascending)) / total)
            if known is not None and epsilon in known:
                robust[part, number] = known[epsilon][part]
                continue
            generator.manual_seed(seed + part.start)
            x_adv = attack(polled, x, y, epsilon)
            with torch.no_grad():
                robust[part, number] = (polled(x_adv).argmax(dim=1) == y).cpu().numpy()
        each_batch(polled, x, y)
    all_groups = None if data.groups is None else data.groups.cpu().numpy()
    return Robustness(
        ascending,
        robust,
        data.labels[indices].cpu().numpy(),
        classes,
        indices,
        len(data),
        groups=None if all_groups is None else all_groups[indices],
        group_sizes=np.bincount([] if all_groups is None else all_groups),
    )


def robust_accuracy(robustness: Robustness, requested: Sequence[float]) -> Result:
    """Return the result of an attack.

    Returns:
        value `accuracy` at the first requested epsilon and, with groups, `worst_group`, the lowest of a group there
        (bootstrap stratified by group; n: of that group); curve `accuracy` over 0 and all requested epsilons (Wilson);
        the flags that apply to any attack; and the arrays `broken_at`, the smallest requested epsilon at which each
        image was misclassified (0 for one that is misclassified unperturbed, inf for one that was robust throughout),
        `held` (N, E), the robust images, at the epsilons of `columns/epsilon`, and, with groups, `group`.
    """
    shown = sorted({0.0, *map(float, requested)})
    robust = np.array([robustness.at(epsilon) for epsilon in shown])
    right = robust.sum(axis=1)
    count = robust.shape[1]
    points = [proportion(int(number), count, higher_is_better=True) for number in right]
    broken_at = np.where(robust.all(axis=0), np.inf, np.array(shown)[robust.argmin(axis=0)])
    flags = few_samples(count, robustness.available) + at_chance(robust[0], robustness.classes)
    rises = [i for i in range(len(shown) - 1) if right[i + 1] > right[i]]
    if rises:
        i = rises[0]
        flags.append(
            Flag(
                "rises_with_epsilon",
                f"Accuracy rises from {right[i]} to {right[i + 1]} of {count} between "
                f"epsilon {shown[i]:g} and {shown[i + 1]:g}, which no true robust accuracy does: the attack "
                "is too weak there. Next: more steps and restarts, or a smaller step size.",
            )
        )
    values = {"accuracy": points[shown.index(float(requested[0]))]}
    arrays = {
        "indices": robustness.indices,
        "broken_at": broken_at.astype(np.float32),
        "held": robustness.robust,
        "columns/epsilon": np.array(robustness.epsilons),
    }
    if robustness.groups is not None:
        values["worst_group"] = worst_group(robustness.at(requested[0]), robustness.groups)
        arrays["group"] = robustness.groups
        flags += _few_of_a_group(robustness.groups, robustness.group_sizes)
    return Result(
        values=values,
        curves={
            "accuracy": Curve(
                x=shown,
                y=[point.value for point in points],
                low=[point.low for point in points],
                high=[point.high for point in points],
                x_label="epsilon",
                y_label="adversarial accuracy",
            )
        },
        flags=flags,
        arrays=arrays,
    )


def _few_of_a_group(groups: np.ndarray, available: np.ndarray) -> list[Flag]:
    present, sizes = np.unique(groups, return_counts=True)
    if not len(sizes):
        return []
    smallest = sizes.argmin()
    return few_of_group(int(sizes[smallest]), int(available[present[smallest]]))
