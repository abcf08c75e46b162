"""Losses that attacks maximise. Each function: logits (N, K), labels (N,) and, if targeted, other classes (N,) -> (N,).

DLR, the difference of logits ratio, is that of Croce, Hein, *Reliable evaluation of adversarial robustness with an
ensemble of diverse parameter-free attacks*, ICML 2020; the margin that of Carlini, Wagner 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits, indices of their samples in the batch) -> (N,)

DLR_CLASSES, TARGETED_DLR_CLASSES = 3, 4  # that the ratios need
TINY = 1e-12  # keeps a ratio of equal logits finite


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return −log softmax_y f."""
    return F.cross_entropy(logits, y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return max_{j≠y} f_j − f_y, which is above 0 for misclassified samples."""
    labelled = F.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(labelled, -torch.inf).amax(1) - _of(logits, y)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Return (max_{j≠y} f_j − f_y) / (f_π1 − f_π3), π sorting the logits from the largest; 3 classes or more."""
    largest = logits.topk(3, dim=1).values
    return margin(logits, y) / (largest[:, 0] - largest[:, 2] + TINY)


def targeted_margin(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return f_t − f_y."""
    return _of(logits, target) - _of(logits, y)


def targeted_cross_entropy(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return log softmax_t f."""
    return -cross_entropy(logits, target)


def targeted_dlr(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return (f_t − f_y) / (f_π1 − (f_π3 + f_π4) / 2); 4 classes or more."""
    largest = logits.topk(4, dim=1).values
    return targeted_margin(logits, y, target) / (largest[:, 0] - largest[:, 2:].mean(dim=1) + TINY)


UNTARGETED = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}
TARGETED = {
    "targeted": targeted_margin,
    "targeted_cross_entropy": targeted_cross_entropy,
    "targeted_dlr": targeted_dlr,
}
NEEDED_CLASSES = {"dlr": DLR_CLASSES, "targeted_dlr": TARGETED_DLR_CLASSES}


def objectives(names: Sequence[str], logits: Tensor, y: Tensor, target_classes: int) -> list[Loss]:
    """Return the losses to maximise one after the other; a targeted one once for each target class.

    The targets of a sample are its `target_classes` most likely wrong classes, by the logits (N, K) of the image, or
    all of them where there are fewer.

    Raises:
        ValueError: a loss needs more classes.
    """
    classes = logits.shape[1]
    wrong = logits.masked_fill(F.one_hot(y, classes).bool(), -torch.inf).argsort(dim=1, descending=True)
    result: list[Loss] = []
    for name in names:
        if classes < NEEDED_CLASSES.get(name, 2):
            raise ValueError(f"the loss {name} needs {NEEDED_CLASSES[name]} classes, this model has {classes}")
        if name in UNTARGETED:
            result.append(_bound(UNTARGETED[name], y))
        else:
            result.extend(_bound(TARGETED[name], y, wrong[:, rank]) for rank in range(min(target_classes, classes - 1)))
    return result


def _bound(loss: Callable[..., Tensor], *of_samples: Tensor) -> Loss:
    return lambda logits, active: loss(logits, *(part[active] for part in of_samples))


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)
