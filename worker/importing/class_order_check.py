"""Find out whether the outputs of an imported network belong to other classes than those they are used for.

Each half of the images finds the assignment of outputs to classes with the most correct predictions, and the other half
measures it. The used order is doubtful if two things hold. The assignment is correct on significantly more images, by
McNemar's exact test. And on the images of the classes that it changes, its accuracy is above the middle between chance
and 1: some assignment is a little better than the used one for an untrained network too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

SIGNIFICANT = 0.001  # p of McNemar's test; several normalisations are tried


@dataclass(frozen=True)
class OtherOrder:
    """An assignment of outputs to classes that is better than the used one."""

    outputs: np.ndarray  # (K,) for each class the position of its output in the used order
    correct: np.ndarray  # (n,) bool, of each image under the assignment that the other half found


def better_order(predicted: np.ndarray, labels: np.ndarray, classes: int) -> OtherOrder | None:
    """Return the assignment that makes the used order doubtful; None if there is none.

    Args:
        predicted: (n,) class that each image is predicted as in the used order.
        labels: (n,) its class.
        classes: K; None is returned if fewer than two images per class are there on average.
    """
    if 2 * classes > len(labels):
        return None
    second_half = _second_half(labels)
    assigned = np.zeros(len(labels), bool)
    for measured in (second_half, ~second_half):
        outputs = _assignment(predicted[~measured], labels[~measured], classes)
        assigned[measured] = outputs[labels[measured]] == predicted[measured]
    outputs = _assignment(predicted, labels, classes)
    changed = (outputs != np.arange(classes))[labels]
    if not changed.any() or assigned[changed].mean() <= (1 + 1 / classes) / 2:
        return None
    if not fewer_correct(predicted == labels, assigned, SIGNIFICANT):
        return None
    return OtherOrder(outputs, assigned)


def fewer_correct(one: np.ndarray, other: np.ndarray, p: float) -> bool:
    """Return whether McNemar's exact test finds `one` correct less often than `other`, on the same images.

    Args:
        one: (n,) bool, whether each image is classified correctly.
        other: likewise.
        p: largest p value, one-sided.
    """
    lost, won = int((other & ~one).sum()), int((one & ~other).sum())
    return lost + won > 0 and bool(binomtest(won, lost + won, 0.5, alternative="less").pvalue < p)


def _second_half(labels: np.ndarray) -> np.ndarray:
    """Return (n,) bool: every second image of each class."""
    half = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        half[np.flatnonzero(labels == label)[1::2]] = True
    return half


def _assignment(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return for each class the output with which most predictions are correct; the used one among equals."""
    counts = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    outputs: np.ndarray = linear_sum_assignment(counts + np.eye(classes) / (2 * classes), maximize=True)[1]
    return outputs
