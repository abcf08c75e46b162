"""Confusion matrix, and accuracy of each class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import (
    Curve,
    Flag,
    Result,
    at_chance,
    few_samples,
    proportion,
    resampled,
)
from densitylab.worker.evaluations.subset import draw_subset


def confusion(
    model: nn.Module,
    data: Dataset,
    *,
    samples: int | None = None,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the accuracy a_c of each class, their mean and the worst, and the rows of the confusion matrix.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        samples: number of images, see `draw_subset`; None: all.
        generator: not used.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `mean` = Σ a_c / K (balanced accuracy; bootstrap by class), `worst` = min a_c (bootstrap by class; n: of
        that class), and `class_0`, `class_1`, ... each a_c (Wilson). Curve `accuracy`: a_c over the class. Curves
        `confusion_0`, `confusion_1`, ...: of the images of that class the share predicted as class x (Wilson), for each
        x that was predicted at least once. Arrays `label`, `predicted` and `correct`. Classes without an image have no
        accuracy, are excluded from mean and worst, and get a flag.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    indices = draw_subset(data, samples)
    count, classes = len(indices), 1
    predicted, finite = np.zeros(count, np.int64), np.zeros(count, bool)
    for part, x, _ in batches(model, data, indices, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x)
        predicted[part] = logits.argmax(dim=1).cpu().numpy()
        finite[part] = logits.isfinite().all(dim=1).cpu().numpy()
        classes = logits.shape[1]
    labels = data.labels[indices].cpu().numpy()
    correct = (predicted == labels) & finite  # an image with NaN logits has no prediction
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels[finite], predicted[finite]), 1)
    sizes = np.bincount(labels, minlength=classes)
    each = [proportion(int(matrix[c, c]), int(sizes[c]), higher_is_better=True) for c in range(classes)]
    present = np.flatnonzero(sizes)
    member = (labels[:, None] == present).astype(float)

    def accuracies(drawn: np.ndarray) -> np.ndarray:
        """Return (r, C) accuracies of the classes with images; each keeps its size."""
        return correct[drawn] @ member / sizes[present]

    worst = min(present, key=lambda c: matrix[c, c] / sizes[c], default=None)
    return Result(
        values={
            "mean": resampled(lambda drawn: accuracies(drawn).mean(axis=1), labels, higher_is_better=True),
            "worst": resampled(
                lambda drawn: accuracies(drawn).min(axis=1),
                labels,
                n=0 if worst is None else int(sizes[worst]),
                higher_is_better=True,
            ),
            **{f"class_{c}": value for c, value in enumerate(each)},
        },
        curves={
            "accuracy": Curve(
                x=[float(c) for c in range(classes)],
                y=[value.value for value in each],
                low=[value.low for value in each],
                high=[value.high for value in each],
                x_label="class",
                y_label="accuracy",
            ),
            **{f"confusion_{c}": _row(matrix[c], int(sizes[c])) for c in present},
        },
        flags=[*few_samples(count, len(data)), *_without_images(sizes), *at_chance(correct, classes)],
        arrays={"indices": indices, "label": labels, "predicted": predicted, "correct": correct},
    )


def _row(counts: np.ndarray, size: int) -> Curve:
    shares = [(c, proportion(int(counts[c]), size, higher_is_better=None)) for c in np.flatnonzero(counts)]
    return Curve(
        x=[float(c) for c, _ in shares],
        y=[share.value for _, share in shares],
        low=[share.low for _, share in shares],
        high=[share.high for _, share in shares],
        x_label="predicted class",
        y_label="share of the class",
    )


def _without_images(sizes: np.ndarray) -> list[Flag]:
    empty = np.flatnonzero(sizes == 0)
    if len(empty) == 0:
        return []
    return [
        Flag(
            "empty_class",
            f"{len(empty)} of {len(sizes)} classes have no image here: their accuracy is not known, and mean and worst "
            "are of the others. Next: evaluate on more images.",
        )
    ]
