"""Digits on textures, embedded: a background that goes with the label in training and not in testing **(ours)**.

The 5,000 real digits of `digits` stand on real photographs of grass, gravel and brick (textures.LICENSE.txt says where
they come from). Digit d has the texture d mod 3 as its own. In training an image has its digit's own texture with
probability `correlation`, and each of the other two with half of the rest; in validation and testing all three are
equally likely for every digit. No piece of a texture is in two splits: they cut from different columns of the
photograph. The group of an image is its digit's own texture and the actual one: nine groups, six of them rare in
training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.arrays import portion
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.digits import NUM_CLASSES, SIDE, digits, stratified_split
from densitylab.worker.datasets.npy_store import Part

TEXTURES = ("grass", "gravel", "brick")
COLUMNS = {"train": (0, 320), "validation": (320, 400), "test": (400, 512)}
BRIGHTNESS = 0.6  # of the background: the white digit stands out on all three
_CROP = 2 * SIDE  # pixels a side, averaged two by two: at full resolution a brick is larger than the image


def prepare(
    root: Path,
    *,
    data_seed: int = 0,
    correlation: float = 0.95,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Draw and store images (N, 1, 28, 28) uint8, labels, groups and masks.

    The groups are 3 · (digit mod 3) + texture, the masks True where there is no ink. The splits have 3,600 training,
    400 validation and 1,000 test images.

    Args:
        root: the folder to create, one for each value of the parameters.
        data_seed: draws the split, the textures and where they are cut.
        correlation: of digit and texture in training, from 1/3 (none) to 1.
        progress: called with the fraction done.
        should_stop: asked between the steps.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    progress(0.0)
    pixels, labels = digits()
    rng = np.random.default_rng(data_seed)
    photographs = _photographs()
    parts = {}
    for split, order in stratified_split(labels, rng).items():
        own = labels[order] % len(TEXTURES)
        likely = correlation if split == "train" else 1 / len(TEXTURES)
        other = (own + rng.integers(1, len(TEXTURES), len(order))) % len(TEXTURES)
        texture = np.where(rng.random(len(order)) < likely, own, other)
        background = _cut(photographs, texture, COLUMNS[split], rng)
        ink = pixels[order] / 255.0
        images = np.rint(255 * ink + BRIGHTNESS * background * (1 - ink)).astype(np.uint8)[:, None]
        parts[split] = Part(
            labels[order],
            npy_store.blocks_of(images, np.arange(len(order))),
            {"groups": len(TEXTURES) * own + texture, "masks": npy_store.packed_masks(pixels[order] == 0)},
        )
    return npy_store.pack(
        root,
        parts,
        shape=(1, SIDE, SIDE),
        num_classes=NUM_CLASSES,
        num_groups=len(TEXTURES) ** 2,
        progress=portion(progress, 0.6, 1.0),
        should_stop=should_stop,
    )


def _photographs() -> np.ndarray:
    """Return grey levels (3, 512, 512), in the order of `TEXTURES`."""
    with np.load(Path(__file__).with_name("textures.npz"), allow_pickle=False) as file:
        return np.stack([file[name] for name in TEXTURES]).astype(float)


def _cut(
    photographs: np.ndarray, texture: np.ndarray, columns: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Random pieces (N, 28, 28) of the textures, from the given columns alone."""
    rows = rng.integers(0, photographs.shape[1] - _CROP + 1, len(texture))
    left = rng.integers(columns[0], columns[1] - _CROP + 1, len(texture))
    pieces = np.stack(
        [
            photographs[kind, row : row + _CROP, column : column + _CROP]
            for kind, row, column in zip(texture, rows, left, strict=True)
        ]
    )
    return pieces.reshape(len(texture), SIDE, 2, SIDE, 2).mean((2, 4))
