"""CIFAR's pickled batches, in a folder or in their archive, as in torchvision.

Format: www.cs.toronto.edu/~kriz/cifar.html. A pickle can run any code, and placed files may differ from the published
ones, so only the types of a batch are allowed.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np

from densitylab.worker.datasets.arrays import Arrays
from densitylab.worker.datasets.source import Published, Source, Unavailable, require_md5

_ALLOWED = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),  # an array, from protocol 5 on
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


def splits(
    source: Source,
    kind: str,
    labels_key: str,
    *,
    check_sums: bool,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> dict[str, Arrays]:
    """Return "train" and "test": images (N, 3, 32, 32) uint8 and labels (N,) int64.

    Args:
        source: where to look for the files.
        kind: torchvision's class, whose folder, address and check sums these are: "CIFAR10" or "CIFAR100".
        labels_key: of the labels in a batch.
        check_sums: whether placed files must be the published ones.
        progress: called with the fraction of the download.
        should_stop: asked during a download.

    Raises:
        Unavailable: a file is missing and can't be downloaded, or is not the published one.
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
            Published(published.filename, "", (published.url,), published.tgz_md5),
            check_sums=check_sums,
            progress=progress,
            should_stop=should_stop,
        )
        contents = _members(archive, published.base_folder, [name for part in names.values() for name, _ in part])
    return {
        split: _join([_batch(name, contents[name], labels_key) for name, _ in batches])
        for split, batches in names.items()
    }


def _members(archive: Any, folder: str, names: list[str]) -> dict[str, bytes]:
    """Return the archive's files, read without unpacking to the disk."""
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
    except Exception as error:  # damaged bytes raise almost anything
        raise Unavailable(f"{name} is not a batch of CIFAR images ({error}): replace it.") from None
    if not isinstance(batch, dict):
        raise Unavailable(f"{name} is not a batch of CIFAR images (a {type(batch).__name__}, not a dict): replace it.")
    entries = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    images = _integers(name, "data", entries)
    labels = _integers(name, labels_key, entries)
    if images.shape[1:] not in ((3072,), (3, 32, 32)):
        raise Unavailable(
            f'{name}: "data" has the shape {images.shape}; expected (N, 3072) or (N, 3, 32, 32), all red values of an '
            "image before all green and all blue ones."
        )
    if images.size and not 0 <= images.min() <= images.max() <= 255:
        raise Unavailable(f'{name}: "data" has values from {images.min()} to {images.max()}; expected 0 to 255.')
    if labels.shape != (len(images),):
        raise Unavailable(
            f'{name}: "{labels_key}" has the shape {labels.shape}; expected one label for each of {len(images)} images.'
        )
    return images.astype(np.uint8, copy=False).reshape(-1, 3, 32, 32), labels.astype(np.int64)


def _integers(name: str, key: str, batch: dict[Any, Any]) -> np.ndarray:
    """Return the array of that key. Raises Unavailable if there is none, or one of anything but integers."""
    if key not in batch:
        keys = ", ".join(sorted(map(str, batch))[:20]) or "nothing"
        raise Unavailable(f'{name} has no "{key}"; it has {keys}.')
    try:
        array = np.asarray(batch[key])
    except (ValueError, TypeError) as error:
        raise Unavailable(f'{name}: "{key}" is not an array ({error}).') from None
    if array.dtype.kind not in "iu" and array.size:
        raise Unavailable(f'{name}: "{key}" has values of the type {array.dtype}; expected integers.')
    return array


def _join(batches: list[Arrays]) -> Arrays:
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        current = module.replace("numpy.core.", "numpy._core.")  # named otherwise before NumPy 2
        if (current, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it uses {module}.{name}")
        return super().find_class(module, name)
