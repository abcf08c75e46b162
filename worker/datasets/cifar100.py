"""CIFAR-100: 32×32 photographs of a hundred kinds (Krizhevsky 2009)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from worker.datasets import compact, pickled
from worker.datasets.arrays import portion, store
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.source import Source


def load(root: Path, split: str, *, data_seed: int = 0, check_sums: bool = True) -> Dataset:
    """Images (N, 3, 32, 32) uint8 and labels (N,): 45,000 to train, 5,000 for validation, the official 10,000 to test.

    Args:
        root: this data set's folder for these parameters.
        split: "train", "validation" or "test".
        data_seed: drew the validation images from the official training images.
        check_sums: whether placed files had to have the published contents.

    Raises:
        FileNotFoundError: the data set is not prepared there.
    """
    return compact.load(root, split)


def prepare(
    root: Path, source: Source, *, data_seed: int = 0, check_sums: bool = True, progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """From the pickled batches to `root`. Raises Unavailable, Stopped."""
    found = pickled.splits(
        source, "CIFAR100", "fine_labels", check_sums=check_sums,
        progress=portion(progress, 0.0, 0.8), should_stop=should_stop,
    )
    return store(root, found["train"], found["test"], num_classes=100, data_seed=data_seed,
                 progress=portion(progress, 0.8, 1.0), should_stop=should_stop)
