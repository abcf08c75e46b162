"""BlockMNIST, embedded: real MNIST digits with a null block, which is independent of the label.

Source: Shah, Jain, Netrapalli, *Do Input Gradients Highlight Discriminative Features?*, NeurIPS 2021. An image
is a digit block and a null block, one above the other, at random. The paper's null block is a fixed pattern,
independent of the label; its exact pixels are not public in a form that we could check, so ours is defined here:
a centred square outline, 16 pixels wide, 2 pixels thick, full white on black, the same in every image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.dataset import Dataset, PreparedInfo
from densitylab.worker.datasets.digits import NUM_CLASSES, SIDE, digits, stratified_split
from densitylab.worker.datasets.npy_store import Part


def load(root: Path, split: str) -> Dataset:
    """Return a split that `prepare` has stored, with masks (N, 1, 56, 28) that are True on the null half.

    Args:
        root: the folder of the prepared data set.
        split: "train", "validation" or "test".

    Raises:
        ValueError: `split` is none of the three.
        FileNotFoundError: no data set is prepared in `root`.
    """
    return with_null_masks(npy_store.arrays(root, split))


def prepare(
    root: Path, *, data_seed: int = 0, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> PreparedInfo:
    """Draw the split and the block placement, and store images (N, 1, 56, 28) uint8 and labels.

    Of the 500 digits of each class 100 become test, 40 validation and 360 training images.

    Args:
        root: the folder to create, one for each data_seed.
        data_seed: draws the split, its order, and whether the digit is above or below.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked between the steps.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    progress(0.0)
    pixels, labels = digits()
    rng = np.random.default_rng(data_seed)
    images, digit_on_top = compose(pixels, rng)
    parts = {
        split: Part(labels[order], npy_store.blocks_of(images, order), {"digit_on_top": digit_on_top[order]})
        for split, order in stratified_split(labels, rng).items()
    }
    return npy_store.pack(
        root,
        parts,
        shape=(1, 2 * SIDE, SIDE),
        num_classes=NUM_CLASSES,
        progress=lambda share: progress(0.6 + 0.4 * share),
        should_stop=should_stop,
    )


def null_block() -> np.ndarray:
    """Return the (28, 28) uint8 block that is the same in every image: a centred square outline."""
    block = np.zeros((SIDE, SIDE), np.uint8)
    block[6:22, 6:22] = 255
    block[8:20, 8:20] = 0
    return block


def compose(pixels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return digits (N, 28, 28) with the null block above or below, (N, 1, 56, 28), and (N,) True for digits on top."""
    digit_on_top = rng.random(len(pixels)) < 0.5
    null = np.broadcast_to(null_block(), pixels.shape)
    top = np.where(digit_on_top[:, None, None], pixels, null)
    bottom = np.where(digit_on_top[:, None, None], null, pixels)
    return np.concatenate([top, bottom], axis=1)[:, None], digit_on_top


def with_null_masks(arrays: dict[str, np.ndarray]) -> Dataset:
    """Return the data set of stored images, labels and `digit_on_top`, which determines the masks."""
    images, on_top = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["digit_on_top"])
    masks = torch.zeros(images.shape, dtype=torch.bool)
    masks[:, :, SIDE:] = on_top[:, None, None, None]
    masks[:, :, :SIDE] = ~on_top[:, None, None, None]
    return Dataset(images, torch.from_numpy(arrays["labels"]), masks)
