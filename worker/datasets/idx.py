"""MNIST's IDX files, plain or gzipped, as torchvision keeps them. Format: yann.lecun.com/exdb/mnist."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from densitylab.worker.datasets.arrays import Arrays, portion
from densitylab.worker.datasets.source import Published, Source, Unavailable

COUNTS = {"train": 60_000, "t10k": 10_000}


def read(path: Path) -> np.ndarray:
    """Return the file's array of unsigned bytes. Raises Unavailable if it is not a complete IDX file."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Unavailable(f"{path} can't be unpacked ({error}): replace it.") from None
    dimensions = content[3] if content[:3] == b"\0\0\x08" and len(content) > 4 else 0
    shape = tuple(int(size) for size in np.frombuffer(content[4 : 4 + 4 * dimensions], ">u4"))
    if not dimensions or len(content) != 4 + 4 * dimensions + int(np.prod(shape)):
        raise Unavailable(f"{path} is not a complete IDX file of unsigned bytes: replace it.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def splits(
    source: Source, kind: str, *, check_sums: bool, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> dict[str, Arrays]:
    """Return "train" and "test": images (N, 1, 28, 28) uint8 and labels (N,) int64.

    Args:
        source: where to look for the files.
        kind: torchvision's class, whose folder, addresses and check sums these are: "MNIST" or "FashionMNIST".
        check_sums: whether placed files must be the published ones.
        progress: called with the fraction done.
        should_stop: asked during a download.

    Raises:
        Unavailable: a file is missing and can't be downloaded, or is not the published one.
    """
    from torchvision import datasets  # slow to import

    published = getattr(datasets, kind)
    folder = f"{kind}/raw"
    arrays: dict[str, np.ndarray] = {}
    for number, (name, md5) in enumerate(published.resources):
        # unpacked files have no published check sum, so the number of images is checked
        path = source.find(f"{folder}/{name.removesuffix('.gz')}") or source.obtain(
            Published(name, folder, tuple(mirror + name for mirror in published.mirrors), md5),
            check_sums=check_sums,
            progress=portion(progress, number / 4, (number + 1) / 4),
            should_stop=should_stop,
        )
        split, content = name.split("-")[:2]
        arrays[f"{split}/{content}"] = array = read(path)
        expected = (28, 28) if content == "images" else ()
        if array.shape[1:] != expected or (check_sums and len(array) != COUNTS[split]):
            raise Unavailable(
                f"{path} holds an array {array.shape}, expected {(COUNTS[split], *expected)}: replace it."
            )
    return {
        split: (arrays[f"{which}/images"][:, None], arrays[f"{which}/labels"].astype(np.int64))
        for split, which in (("train", "train"), ("test", "t10k"))
    }
