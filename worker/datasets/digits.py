"""5,000 real MNIST digits, 500 of each class, and their split. digits.LICENSE.txt says where they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDE = 28
NUM_CLASSES = 10
TEST_PER_CLASS = 100
VALIDATION_PER_CLASS = 40
SPLITS = ("train", "validation", "test")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images (5000, 28, 28) uint8 and their labels (5000,) int64."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return file["images"], file["labels"].astype(np.int64)


def stratified_split(labels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return indices by split: of each class 100 digits for testing, 40 for validation and 360 for training."""
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for label in range(NUM_CLASSES):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        test, validation, train = np.split(shuffled, [TEST_PER_CLASS, TEST_PER_CLASS + VALIDATION_PER_CLASS])
        for split, part in (("train", train), ("validation", validation), ("test", test)):
            parts[split].append(part)
    # shuffled again, so that the first images of a split are of all classes
    return {split: rng.permutation(np.concatenate(parts[split])) for split in SPLITS}
