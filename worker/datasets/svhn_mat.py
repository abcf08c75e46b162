"""SVHN's MATLAB files. Format: ufldl.stanford.edu/housenumbers, format 2.

X is (32, 32, 3, N) and y is (N, 1), where 10 stands for the digit 0. The additional "extra" images are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from densitylab.worker.datasets.arrays import Arrays, portion
from densitylab.worker.datasets.source import Published, Source, Unavailable


def splits(
    source: Source, *, check_sums: bool, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> dict[str, Arrays]:
    """Return "train" and "test": images (N, 3, 32, 32) uint8 and labels (N,) int64.

    Args:
        source: where to look for the files.
        check_sums: whether placed files must be the published ones.
        progress: called with the fraction done.
        should_stop: asked during a download.

    Raises:
        Unavailable: a file is missing and can't be downloaded, or is not the published one.
    """
    from torchvision.datasets import SVHN  # slow to import

    arrays = {}
    for split, start, end in (("train", 0.0, 0.75), ("test", 0.75, 1.0)):
        url, name, md5 = SVHN.split_list[split]
        path = source.obtain(
            Published(name, "", (url,), md5),
            check_sums=check_sums,
            progress=portion(progress, start, end),
            should_stop=should_stop,
        )
        arrays[split] = _read(path)
    return arrays


def _read(path: Path) -> Arrays:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
        images, labels = content["X"], content["y"]
    except (MatReadError, KeyError, ValueError, TypeError, NotImplementedError, OSError) as error:
        raise Unavailable(f"{path} is not a MATLAB file with X and y ({error}): replace it.") from None
    if images.ndim != 4 or images.shape[:3] != (32, 32, 3) or images.dtype != np.uint8:
        raise Unavailable(f"{path} contains images {images.shape}, expected (32, 32, 3, N): replace it.")
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels.ravel().astype(np.int64) % 10
