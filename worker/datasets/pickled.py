"""CIFAR's pickled batches, in a folder or in their archive, as torchvision keeps them.

Format: www.cs.toronto.edu/~kriz/cifar.html. A pickle can run any code, and placed files need not be the published
ones, so only what a batch is made of is ever built.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np

from worker.datasets.arrays import Arrays
from worker.datasets.source import Published, Source, Unavailable, require_md5

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
    ("numpy", "dtype"), ("_codecs", "encode"),
}


def splits(
    source: Source, kind: str, labels_key: str, *, check_sums: bool, progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> dict[str, Arrays]:
    """"train" and "test": images (N, 3, 32, 32) uint8 and labels (N,) int64.

    Args:
        source: where the files are looked for.
        kind: torchvision's class, whose folder, address and check sums these are: "CIFAR10" or "CIFAR100".
        labels_key: under which a batch keeps its labels.
        check_sums: whether placed files must be the published ones.
        progress: told the fraction of the download.
        should_stop: asked while something is downloaded.

    Raises:
        Unavailable: a file is missing and can't be had, or is not what was published.
    """
    from torchvision import datasets  # slow to import

    published = getattr(datasets, kind)
    names = {"train": published.train_list, "test": published.test_list}
    folder = source.find(published.base_folder)
    if folder is not None:
        contents = {}
        for name, md5 in [item for batches in names.values() for item in batches]:
            if not (folder / name).is_file():
                raise Unavailable(f"{folder} has no file {name}: unpack {published.filename} again.")
            if check_sums:
                require_md5(folder / name, md5)
            contents[name] = (folder / name).read_bytes()
    else:
        archive = source.obtain(
            Published(published.filename, "", (published.url,), published.tgz_md5), check_sums=check_sums,
            progress=progress, should_stop=should_stop,
        )
        contents = _members(archive, published.base_folder, [name for part in names.values() for name, _ in part])
    return {split: _join([_batch(name, contents[name], labels_key) for name, _ in batches])
            for split, batches in names.items()}


def _members(archive: Any, folder: str, names: list[str]) -> dict[str, bytes]:
    """The archive's files, read without unpacking anything to the disk."""
    contents = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.removeprefix(f"{folder}/")
                file = tar.extractfile(member) if name in names and member.isfile() else None
                if file is not None:
                    contents[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Unavailable(f"{archive} can't be unpacked ({error}): replace it.") from None
    missing = [name for name in names if name not in contents]
    if missing:
        raise Unavailable(f"{archive} has no file {folder}/{missing[0]}: replace it.")
    return contents


def _batch(name: str, content: bytes, labels_key: str) -> Arrays:
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        images = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        return images, np.asarray(batch[labels_key], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Unavailable(f"{name} is not a batch of CIFAR images ({error}): replace it.") from None


def _join(batches: list[Arrays]) -> Arrays:
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)
