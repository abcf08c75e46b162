"""Metrics of out-of-distribution detection: AUROC, AUPR-In, AUPR-Out and FPR at 95 % TPR."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TPR = 0.95


class OodMetrics(NamedTuple):
    """The four metrics, (r,) each, one value per resample."""

    auroc: np.ndarray
    aupr_in: np.ndarray
    aupr_out: np.ndarray
    fpr95: np.ndarray


def ood_metrics(scores: np.ndarray, inside: np.ndarray, drawn: np.ndarray) -> OodMetrics:
    """Return the four metrics of each resample. In-distribution is the positive class, with higher scores.

    AUROC = P(score_in > score_out) + P(equal)/2, never flipped when below 0.5. AUPR is the average precision
    Σ (R_k − R_{k−1}) P_k over the thresholds, with in-distribution (In), or out-of-distribution and the negated
    score (Out), as the positive class. FPR95 is the share of out-of-distribution samples at or above the largest
    threshold that at least 95 % of the in-distribution samples reach.

    Args:
        scores: (m,) finite.
        inside: (m,) bool, True for in-distribution.
        drawn: (r, m) indices into the samples.
    """
    _, rank = np.unique(-scores, return_inverse=True)  # 0 is the highest threshold
    levels = int(rank.max()) + 1
    results = []
    for row in drawn:
        positive = np.bincount(rank[row], inside[row], minlength=levels)
        negative = np.bincount(rank[row], ~inside[row], minlength=levels)
        results.append(_metrics(positive, negative))
    return OodMetrics(*np.array(results).T)


def _metrics(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float, float, float]:
    """Return AUROC, AUPR-In, AUPR-Out and FPR95 from counts per threshold, the highest first."""
    tp, fp = np.cumsum(positive), np.cumsum(negative)
    below = fp[-1] - fp
    auroc = float(positive @ (below + negative / 2)) / (tp[-1] * fp[-1])
    first = int(np.argmax(tp >= TPR * tp[-1]))
    return (
        auroc,
        _average_precision(positive, negative),
        _average_precision(negative[::-1], positive[::-1]),
        float(fp[first] / fp[-1]),
    )


def _average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    tp = np.cumsum(positive)
    return float((positive / tp[-1]) @ (tp / np.maximum(tp + np.cumsum(negative), 1)))


def roc(scores: np.ndarray, inside: np.ndarray, points: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return (false positive rate, true positive rate), (p,) each, from (0, 0) to (1, 1).

    Points on a straight line between their neighbours are dropped first, then others, down to about `points`.
    """
    _, rank = np.unique(-scores, return_inverse=True)
    levels = int(rank.max()) + 1
    tpr = np.concatenate([[0], np.cumsum(np.bincount(rank, inside, minlength=levels))]) / inside.sum()
    fpr = np.concatenate([[0], np.cumsum(np.bincount(rank, ~inside, minlength=levels))]) / (~inside).sum()
    bends = np.ones(len(tpr), bool)
    bends[1:-1] = np.abs(np.diff(tpr)[1:] * np.diff(fpr)[:-1] - np.diff(tpr)[:-1] * np.diff(fpr)[1:]) > 1e-15
    tpr, fpr = tpr[bends], fpr[bends]
    keep = np.unique(np.linspace(0, len(tpr) - 1, min(len(tpr), points)).round().astype(int))
    return fpr[keep], tpr[keep]
