"""BlockMNIST from all 70,000 images of MNIST; the blocks are those of `blockmnist`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from worker.datasets import compact, idx
from worker.datasets.arrays import portion
from worker.datasets.blockmnist import compose, with_null_masks
from worker.datasets.compact import Part
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.source import Source
from worker.datasets.splits import VALIDATION_SHARE, hold_out


def load(root: Path, split: str, *, data_seed: int = 0, check_sums: bool = True) -> Dataset:
    """Images (N, 1, 56, 28) uint8, labels (N,), masks (N, 1, 56, 28) True on the null half.

    Args:
        root: this data set's folder for these parameters.
        split: "train" (54,001 images), "validation" (5,999) or "test" (the official 10,000, in their order).
        data_seed: drew the validation images and the block placement.
        check_sums: whether placed files had to have the published contents.

    Raises:
        FileNotFoundError: the data set is not prepared there.
    """
    return with_null_masks(compact.arrays(root, split))


def prepare(
    root: Path, source: Source, *, data_seed: int = 0, check_sums: bool = True, progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """From MNIST's IDX files to `root`. Raises Unavailable, Stopped."""
    found = idx.splits(
        source, "MNIST", check_sums=check_sums, progress=portion(progress, 0.0, 0.6), should_stop=should_stop
    )
    rng = np.random.default_rng(data_seed)
    kept, held = hold_out(found["train"][1], VALIDATION_SHARE, rng)
    everything = np.arange(len(found["test"][1]))
    parts = {}
    for split, of, order in (("train", "train", kept), ("validation", "train", held), ("test", "test", everything)):
        images, labels = found[of]
        composed, digit_on_top = compose(images[order, 0], rng)
        blocks = compact.blocks_of(composed, np.arange(len(order)))
        parts[split] = Part(labels[order], blocks, {"digit_on_top": digit_on_top})
    return compact.pack(root, parts, shape=(1, 56, 28), num_classes=10, progress=portion(progress, 0.6, 1.0),
                        should_stop=should_stop)
