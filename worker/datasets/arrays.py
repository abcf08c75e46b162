"""Data sets whose files hold whole arrays with an official test set: shuffled, split and stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from worker.datasets import compact
from worker.datasets.compact import Part
from worker.datasets.dataset import PreparedInfo
from worker.datasets.splits import VALIDATION_SHARE, hold_out

Arrays = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W) uint8, labels (N,) int64


def store(
    root: Path, train: Arrays, test: Arrays, *, num_classes: int, data_seed: int, progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """The test images in their official order; a tenth of the training images, of each class, for validation.

    Raises:
        ValueError: there are fewer labels than images, or classes that there should not be.
        Stopped: `should_stop()` answered True.
    """
    for images, labels in (train, test):
        if len(images) != len(labels) or not len(labels):
            raise ValueError(f"The files hold {len(images)} images but {len(labels)} labels.")
        if labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(f"The files hold a label {labels.max()}; expected 0 to {num_classes - 1}.")
    kept, held = hold_out(train[1], VALIDATION_SHARE, np.random.default_rng(data_seed))
    parts = {
        "train": Part(train[1][kept], compact.blocks_of(train[0], kept)),
        "validation": Part(train[1][held], compact.blocks_of(train[0], held)),
        "test": Part(test[1], compact.blocks_of(test[0], np.arange(len(test[1])))),
    }
    return compact.pack(
        root, parts, shape=train[0].shape[1:], num_classes=num_classes, progress=progress, should_stop=should_stop
    )


def portion(progress: Callable[[float], None], start: float, end: float) -> Callable[[float], None]:
    """Progress of a part of the work, from 0 to 1, as progress of the whole from `start` to `end`."""
    return lambda share: progress(start + (end - start) * share)
