"""BlockMNIST from all 70,000 images of MNIST; the blocks are those of `blockmnist`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from densitylab.worker.datasets import idx, npy_store
from densitylab.worker.datasets.arrays import portion
from densitylab.worker.datasets.blockmnist import compose, load
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.npy_store import Part
from densitylab.worker.datasets.source import Source
from densitylab.worker.datasets.splits import VALIDATION_SHARE, hold_out


def prepare(
    root: Path,
    source: Source,
    *,
    data_seed: int = 0,
    check_sums: bool = True,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Store images (N, 1, 56, 28) uint8 and labels.

    They are 54,001 training, 5,999 validation and the official 10,000 test images, which keep their order.

    Args:
        root: the folder to create, one for each value of the parameters.
        source: where to look for the published files.
        data_seed: draws the validation images and the block placement.
        check_sums: whether placed files must be the published ones.
        progress: called with the fraction done.
        should_stop: asked between the steps.

    Raises:
        Unavailable: a file is missing and can't be downloaded, or is not the published one.
        Interrupted: `should_stop()` returned True.
    """
    mnist = idx.splits(
        source, "MNIST", check_sums=check_sums, progress=portion(progress, 0.0, 0.6), should_stop=should_stop
    )
    rng = np.random.default_rng(data_seed)
    kept, held_out = hold_out(mnist["train"][1], VALIDATION_SHARE, rng)
    everything = np.arange(len(mnist["test"][1]))
    parts = {}
    for split, official, order in (
        ("train", "train", kept),
        ("validation", "train", held_out),
        ("test", "test", everything),
    ):
        images, labels = mnist[official]
        composed, digit_on_top = compose(images[order, 0], rng)
        blocks = npy_store.blocks_of(composed, np.arange(len(order)))
        parts[split] = Part(labels[order], blocks, {"digit_on_top": digit_on_top})
    return npy_store.pack(
        root, parts, shape=(1, 56, 28), num_classes=10, progress=portion(progress, 0.6, 1.0), should_stop=should_stop
    )


__all__ = ["load", "prepare"]
