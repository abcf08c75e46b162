"""How well a score tells two sets of samples apart: AUROC, AUPR-In, AUPR-Out and FPR at 95 % TPR."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TPR = 0.95


class Detection(NamedTuple):
    """Each (r,): one per resample."""

    auroc: np.ndarray
    aupr_in: np.ndarray
    aupr_out: np.ndarray
    fpr95: np.ndarray


def detection(scores: np.ndarray, inside: np.ndarray, drawn: np.ndarray) -> Detection:
    """The four figures of resamples. In-distribution is the positive class, and higher scores should be its.

    AUROC = P(score_in > score_out) + P(equal)/2, never flipped when below 0.5. AUPR is the average precision
    Σ (R_k − R_{k−1}) P_k over the thresholds, with in-distribution (In), or out-of-distribution and the negated
    score (Out), as the positive class. FPR95: the share of out-of-distribution samples at or above the largest
    threshold at or above which at least 95 % of the in-distribution ones lie.

    Args:
        scores: (m,) finite.
        inside: (m,) bool, True for in-distribution.
        drawn: (r, m) indices into the samples.
    """
    _, place = np.unique(-scores, return_inverse=True)  # 0 is the highest threshold
    levels = int(place.max()) + 1
    results = []
    for row in drawn:
        positive = np.bincount(place[row], inside[row], minlength=levels)
        negative = np.bincount(place[row], ~inside[row], minlength=levels)
        results.append(_figures(positive, negative))
    return Detection(*np.array(results).T)


def _figures(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float, float, float]:
    """From counts per threshold, the highest first."""
    tp, fp = np.cumsum(positive), np.cumsum(negative)
    below = fp[-1] - fp
    auroc = float(positive @ (below + negative / 2)) / (tp[-1] * fp[-1])
    first = int(np.argmax(tp >= TPR * tp[-1]))
    return (
        auroc, _average_precision(positive, negative), _average_precision(negative[::-1], positive[::-1]),
        float(fp[first] / fp[-1]),
    )


def _average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    tp = np.cumsum(positive)
    return float((positive / tp[-1]) @ (tp / np.maximum(tp + np.cumsum(negative), 1)))


def roc(scores: np.ndarray, inside: np.ndarray, points: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """(false positive rate, true positive rate), (p,) each, from (0, 0) to (1, 1): at most about so many points, none
    on a straight line between its neighbours left out before that."""
    _, place = np.unique(-scores, return_inverse=True)
    levels = int(place.max()) + 1
    tpr = np.concatenate([[0], np.cumsum(np.bincount(place, inside, minlength=levels))]) / inside.sum()
    fpr = np.concatenate([[0], np.cumsum(np.bincount(place, ~inside, minlength=levels))]) / (~inside).sum()
    bends = np.ones(len(tpr), bool)
    bends[1:-1] = np.abs(np.diff(tpr)[1:] * np.diff(fpr)[:-1] - np.diff(tpr)[:-1] * np.diff(fpr)[1:]) > 1e-15
    tpr, fpr = tpr[bends], fpr[bends]
    keep = np.unique(np.linspace(0, len(tpr) - 1, min(len(tpr), points)).round().astype(int))
    return fpr[keep], tpr[keep]
