"""Splitting and storing of data sets whose files contain whole arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.npy_store import Part
from densitylab.worker.datasets.splits import VALIDATION_SHARE, hold_out

Arrays = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W) uint8, labels (N,) int64


def store(
    root: Path,
    train: Arrays,
    test: Arrays,
    *,
    num_classes: int,
    data_seed: int,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Store the test images in their official order, and a tenth of the training images of each class for validation.

    Raises:
        ValueError: the numbers of images and labels differ, or a label is out of range.
        Interrupted: `should_stop()` returned True.
    """
    for images, labels in (train, test):
        if len(images) != len(labels) or not len(labels):
            raise ValueError(f"The files contain {len(images)} images but {len(labels)} labels.")
        if labels.min() < 0 or labels.max() >= num_classes:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise ValueError(f"The files contain a label {wrong}; expected 0 to {num_classes - 1}.")
    kept, held_out = hold_out(train[1], VALIDATION_SHARE, np.random.default_rng(data_seed))
    parts = {
        "train": Part(train[1][kept], npy_store.blocks_of(train[0], kept)),
        "validation": Part(train[1][held_out], npy_store.blocks_of(train[0], held_out)),
        "test": Part(test[1], npy_store.blocks_of(test[0], np.arange(len(test[1])))),
    }
    return npy_store.pack(
        root, parts, shape=train[0].shape[1:], num_classes=num_classes, progress=progress, should_stop=should_stop
    )


def portion(progress: Callable[[float], None], start: float, end: float) -> Callable[[float], None]:
    """Return progress of a part, from 0 to 1, as progress of the whole, from `start` to `end`."""
    return lambda share: progress(start + (end - start) * share)
