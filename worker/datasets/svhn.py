"""SVHN: digits of house numbers, cropped to 32×32 (Netzer et al. 2011).

Format: ufldl.stanford.edu/housenumbers, format 2: MATLAB files with X (32, 32, 3, N) and y (N, 1), where 10 is the
digit 0. The additional "extra" images are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from worker.datasets import compact
from worker.datasets.arrays import Arrays, portion, store
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.source import Published, Source, Unavailable


def load(root: Path, split: str, *, data_seed: int = 0, check_sums: bool = True) -> Dataset:
    """Images (N, 3, 32, 32) uint8 and labels (N,): 65,931 to train, 7,326 for validation, the official 26,032 to test.

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
    """From the MATLAB files to `root`. Raises Unavailable, Stopped."""
    from torchvision.datasets import SVHN  # slow to import

    found = {}
    for split, start, end in (("train", 0.0, 0.6), ("test", 0.6, 0.8)):
        url, name, md5 = SVHN.split_list[split]
        path = source.obtain(Published(name, "", (url,), md5), check_sums=check_sums,
                             progress=portion(progress, start, end), should_stop=should_stop)
        found[split] = _read(path)
    return store(root, found["train"], found["test"], num_classes=10, data_seed=data_seed,
                 progress=portion(progress, 0.8, 1.0), should_stop=should_stop)


def _read(path: Path) -> Arrays:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
        images, labels = content["X"], content["y"]
    except (MatReadError, KeyError, ValueError, TypeError, NotImplementedError, OSError) as error:
        raise Unavailable(f"{path} is not a MATLAB file with X and y ({error}): replace it.") from None
    if images.ndim != 4 or images.shape[:3] != (32, 32, 3) or images.dtype != np.uint8:
        raise Unavailable(f"{path} holds images {images.shape}, expected (32, 32, 3, N): replace it.")
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels.ravel().astype(np.int64) % 10
