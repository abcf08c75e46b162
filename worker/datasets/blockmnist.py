"""BlockMNIST, embedded: real MNIST digits beside a block that says nothing about the label.

Source: Shah, Jain, Netrapalli, *Do Input Gradients Highlight Discriminative Features?*, NeurIPS 2021. An image
is a digit block and a null block, one above the other, at random. The paper's null block is a fixed pattern,
independent of the label; its exact drawing is not public in a form that we could check, so ours is stated here:
a centred square outline, 16 pixels wide, 2 pixels thick, full white on black, the same in every image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from worker.datasets import compact
from worker.datasets.compact import Part
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.digits import NUM_CLASSES, SIDE, digits, stratified_split


def load(root: Path, split: str, *, data_seed: int = 0) -> Dataset:
    """One split of BlockMNIST, as `prepare` has left it under `root`.

    Args:
        root: this data set's folder for this data_seed.
        split: "train" (3,600 images), "validation" (400) or "test" (1,000).
        data_seed: drew the split and the block placement.

    Returns:
        images (N, 1, 56, 28) uint8, labels (N,) int64, masks (N, 1, 56, 28) True on the null half, no groups.

    Raises:
        ValueError: `split` is none of the three.
        FileNotFoundError: the data set is not prepared there.
    """
    return with_null_masks(compact.arrays(root, split))


def prepare(
    root: Path, *, data_seed: int = 0, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> PreparedInfo:
    """Draw the split and the block placement, and store the images in a form that loads at once.

    Of the 500 digits of each class 100 become test, 40 validation and 360 training images.

    Args:
        root: this data set's folder for this data_seed; made where it is missing.
        data_seed: draws the split, its order, and whether the digit is above or below.
        progress: told the fraction done, 0 to 1.
        should_stop: asked between the steps.

    Raises:
        Stopped: `should_stop()` answered True.
    """
    progress(0.0)
    pixels, labels = digits()
    rng = np.random.default_rng(data_seed)
    images, digit_on_top = compose(pixels, rng)
    parts = {
        split: Part(labels[order], compact.blocks_of(images, order), {"digit_on_top": digit_on_top[order]})
        for split, order in stratified_split(labels, rng).items()
    }
    return compact.pack(
        root, parts, shape=(1, 2 * SIDE, SIDE), num_classes=NUM_CLASSES,
        progress=lambda share: progress(0.6 + 0.4 * share), should_stop=should_stop,
    )


def null_block() -> np.ndarray:
    """The (28, 28) uint8 block that is the same in every image: a centred square outline."""
    block = np.zeros((SIDE, SIDE), np.uint8)
    block[6:22, 6:22] = 255
    block[8:20, 8:20] = 0
    return block


def compose(pixels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Digits (N, 28, 28) with the null block above or below, (N, 1, 56, 28), and which are on top (N,)."""
    digit_on_top = rng.random(len(pixels)) < 0.5
    null = np.broadcast_to(null_block(), pixels.shape)
    top = np.where(digit_on_top[:, None, None], pixels, null)
    bottom = np.where(digit_on_top[:, None, None], null, pixels)
    return np.concatenate([top, bottom], axis=1)[:, None], digit_on_top


def with_null_masks(arrays: dict[str, np.ndarray]) -> Dataset:
    """The data set of stored images, labels and `digit_on_top`; the masks follow from the latter."""
    images, on_top = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["digit_on_top"])
    masks = torch.zeros(images.shape, dtype=torch.bool)
    masks[:, :, SIDE:] = on_top[:, None, None, None]
    masks[:, :, :SIDE] = ~on_top[:, None, None, None]
    return Dataset(images, torch.from_numpy(arrays["labels"]), masks)
