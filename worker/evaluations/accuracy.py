"""Accuracy, cross-entropy and calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import (
    Curve,
    Flag,
    Result,
    Value,
    at_chance,
    few_samples,
    mean_value,
    proportion,
    resampled,
)

BINS = 15


def accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the accuracy, the mean of −log softmax_y f(x), and the calibration error.

    Calibration error (Naeini, Cooper, Hauskrecht 2015; Guo, Pleiss, Sun, Weinberger 2017): Σ_b n_b/n · |accuracy_b −
    mean confidence_b| over 15 bins of equal width. It is biased upward: even a perfectly calibrated
    model has an error above 0, and the fewer images, the larger.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        generator: not used.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `accuracy` (Wilson), `cross_entropy` (the NLL, in nats; bootstrap by class, images with a finite one)
        and `calibration_error` (bootstrap by class); curve `reliability`: accuracy over mean confidence, of each bin
        with images (Wilson); arrays `predicted`, `correct`, `confidence` (of the predicted class) and `cross_entropy`.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    count, classes = len(data), 1
    predicted = np.zeros(count, np.int64)
    confidence = np.zeros(count)
    cross_entropy = np.zeros(count)
    for part, x, y in batches(model, data, None, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x).double()
        probability = logits.softmax(dim=1)
        predicted[part] = logits.argmax(dim=1).cpu().numpy()
        confidence[part] = probability.amax(dim=1).cpu().numpy()
        cross_entropy[part] = F.cross_entropy(logits, y, reduction="none").cpu().numpy()
        classes = logits.shape[1]
    labels = data.labels.cpu().numpy()
    finite = np.isfinite(cross_entropy)
    # an image with NaN logits has no prediction
    correct = (predicted == labels) & finite
    flags = few_samples(count, len(data))
    if not finite.all():
        flags.append(
            Flag(
                "not_finite",
                f"{(~finite).sum()} of {count} images have a cross-entropy that is not a "
                "finite number; they count as misclassified and are not part of the mean cross-entropy.",
            )
        )
    # (0, 1/15], (1/15, 2/15], ...
    bins = np.clip(np.ceil(np.nan_to_num(confidence) * BINS).astype(int) - 1, 0, BINS - 1)
    return Result(
        values={
            "accuracy": proportion(int(correct.sum()), count, higher_is_better=True),
            "cross_entropy": mean_value(cross_entropy[finite], labels[finite], higher_is_better=False),
            "calibration_error": _calibration_error(bins, confidence, correct, finite, labels),
        },
        curves={"reliability": _reliability(bins[finite], confidence[finite], correct[finite])},
        flags=flags + at_chance(correct, classes),
        arrays={
            "predicted": predicted,
            "correct": correct,
            "confidence": confidence,
            "cross_entropy": cross_entropy.astype(np.float32),
        },
    )


def _calibration_error(
    bins: np.ndarray, confidence: np.ndarray, correct: np.ndarray, finite: np.ndarray, labels: np.ndarray
) -> Value:
    finite_bins, surplus = bins[finite], (correct - confidence)[finite]

    def error(drawn: np.ndarray) -> np.ndarray:
        # n_b/n · |accuracy_b − confidence_b| is |Σ surplus| of the bin / n
        return np.array([np.abs(np.bincount(finite_bins[row], surplus[row])).sum() / len(row) for row in drawn])

    return resampled(error, labels[finite], higher_is_better=False)


def _reliability(bins: np.ndarray, confidence: np.ndarray, correct: np.ndarray) -> Curve:
    members = [bins == b for b in range(BINS) if (bins == b).any()]
    points = [proportion(int(correct[inside].sum()), int(inside.sum()), higher_is_better=None) for inside in members]
    return Curve(
        x=[float(confidence[inside].mean()) for inside in members],
        y=[point.value for point in points],
        low=[point.low for point in points],
        high=[point.high for point in points],
        x_label="confidence",
        y_label="accuracy",
    )
