"""Tiny ImageNet: 64×64 photographs of two hundred kinds (Le, Yang 2015).

The published archive tiny-imagenet-200.zip contains, in a folder of that name, wnids.txt (the classes),
train/n01443537/images/n01443537_0.JPEG and so on, and val/images/ with val/val_annotations.txt (file, class and a box,
separated by tabs). Its own test images have no labels, so the official validation images are our test images, and our
validation images are drawn from the training images. The archive is read without unpacking; an unpacked folder works
too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from densitylab.worker.datasets import image_source, npy_store, photographs
from densitylab.worker.datasets.arrays import portion
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.npy_store import Part
from densitylab.worker.datasets.photographs import Unreadable
from densitylab.worker.datasets.source import Published, Source, Unavailable
from densitylab.worker.datasets.splits import VALIDATION_SHARE, hold_out

NUM_CLASSES = 200
_NAME = "tiny-imagenet-200"
_URL = f"http://cs231n.stanford.edu/{_NAME}.zip"
_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def prepare(
    root: Path,
    source: Source,
    *,
    image_size: int = 64,
    data_seed: int = 0,
    check_sums: bool = True,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Store images (N, 3, S, S) uint8 and labels in the order of wnids.txt.

    They are 90,000 training, 10,000 validation and 10,000 test images, the last being the official validation images.

    Args:
        root: the folder to create, one for each value of the parameters.
        source: where to look for the published files.
        image_size: S, to which the images of 64×64 are scaled.
        data_seed: draws the validation images from the official training images.
        check_sums: whether placed files must be the published ones.
        progress: called with the fraction done.
        should_stop: asked between the steps.

    Raises:
        Unavailable: a file is missing and can't be downloaded, or is not the published one.
        Interrupted: `should_stop()` returned True.
    """
    archive = source.find(_NAME) or source.obtain(
        Published(f"{_NAME}.zip", "", (_URL,), _MD5),
        check_sums=check_sums,
        progress=portion(progress, 0.0, 0.5),
        should_stop=should_stop,
    )
    with image_source.opened(archive) as files:
        inside = "" if archive.is_dir() else f"{_NAME}/"
        number, train = _training(files, archive, inside)
        test = _testing(files, archive, inside, number)
        if check_sums and (len(number), len(train), len(test)) != (NUM_CLASSES, 100_000, 10_000):
            raise Unavailable(
                f"{archive} contains {len(number)} classes with {len(train)} training and {len(test)} "
                "validation images, expected 200, 100000 and 10000: replace it, or prepare with "
                "check_sums off to take it as it is."
            )
        kept, held_out = hold_out(
            np.array([label for _, label in train]), VALIDATION_SHARE, np.random.default_rng(data_seed)
        )
        chosen = {
            "train": [train[index] for index in kept],
            "validation": [train[index] for index in held_out],
            "test": test,
        }
        parts = {
            split: Part(
                np.array([label for _, label in images]), photographs.blocks(_decoded(files, images, image_size))
            )
            for split, images in chosen.items()
        }
        return npy_store.pack(
            root,
            parts,
            shape=(3, image_size, image_size),
            num_classes=NUM_CLASSES,
            progress=portion(progress, 0.5, 1.0),
            should_stop=should_stop,
        )


def _training(files: Tree, archive: Path, inside: str) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """Return the number of each class, and the training images with their labels."""
    if f"{inside}wnids.txt" not in files.names:
        raise Unavailable(f"{archive} has no wnids.txt: replace it.")
    wnids = files.read(f"{inside}wnids.txt").decode().split()
    number = {wnid: index for index, wnid in enumerate(wnids)}
    start = f"{inside}train/"
    images = [
        (name, number[name[len(start) :].split("/")[0]])
        for name in files.names
        if name.startswith(start) and name.endswith(".JPEG") and name[len(start) :].split("/")[0] in number
    ]
    return number, images


def _testing(files: Tree, archive: Path, inside: str, number: dict[str, int]) -> list[tuple[str, int]]:
    name = f"{inside}val/val_annotations.txt"
    if name not in files.names:
        raise Unavailable(f"{archive} has no val/val_annotations.txt: replace it.")
    rows = [line.split("\t") for line in files.read(name).decode().splitlines()]
    present = set(files.names)
    images = [(f"{inside}val/images/{row[0]}", number[row[1]]) for row in rows if len(row) > 1 and row[1] in number]
    missing = next((image for image, _ in images if image not in present), None)
    if missing is not None or not images:
        raise Unavailable(f"{archive} has no image {missing or 'in val/images'}: replace it.")
    return images


def _decoded(files: Tree, images: list[tuple[str, int]], side: int) -> Iterator[np.ndarray]:
    for name, _ in images:
        try:
            yield photographs.decode(files.read(name), 3, (side, side))
        except Unreadable as error:
            raise Unavailable(f"{name} can't be read ({error}): replace the archive.") from None
