"""The form in which a prepared data set lies on disk: one .npy file per array, opened by mapping it into memory.

A preparation fills a folder of its own beside the final one, writes the manifest last and renames the whole: nobody
reads a half-written form, two preparations at once do not collide, and one that was killed leaves a folder that the
next one clears away.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from worker.datasets.dataset import Dataset, PreparedInfo
from worker.stopped import Stopped

SPLITS = ("train", "validation", "test")
Item = TypeVar("Item")
BLOCK = 512  # images decoded, hashed and written at a time


@dataclass(frozen=True)
class Part:
    """One split on its way to disk.

    Args:
        labels: (N,) int64, classes counted from 0.
        images: blocks (n, C, H, W) uint8 whose lengths add up to N.
        arrays: further arrays of length N by name, such as "groups" (int64) and "masks" (see `packed_masks`).
    """

    labels: np.ndarray
    images: Iterable[np.ndarray]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def pack(
    root: Path, parts: Mapping[str, Part], *, shape: tuple[int, int, int], num_classes: int, num_groups: int = 0,
    progress: Callable[[float], None], should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Store the splits under `root`, whole or not at all.

    Args:
        root: the folder to make; where another preparation was first, its result stays.
        parts: the splits by name, "train" among them.
        shape: (C, H, W) of every image.
        num_classes: counted per split.
        num_groups: counted per split; 0 where there are no groups.
        progress: told the fraction of all images that is written.
        should_stop: asked at every block.

    Raises:
        Stopped: `should_stop()` answered True.
        ValueError: there is too little room on the disk.
    """
    total = sum(len(part.labels) for part in parts.values())
    root.parent.mkdir(parents=True, exist_ok=True)
    require_room(root.parent, total * int(np.prod(shape)))
    with _staging(root) as folder:
        digest, moments, done = hashlib.sha256(), _Moments(shape[0]), 0
        for split, part in parts.items():
            (folder / split).mkdir()
            blocks = stopping(part.images, should_stop)
            whole = (len(part.labels), *shape)
            for block in _write_blocks(folder / split / "images.npy", blocks, whole, digest, split):
                if split == "train":
                    moments.add(block)
                done += len(block)
                progress(done / total)
            for name, array in {"labels": part.labels, **part.arrays}.items():
                _write_blocks_now(folder / split / f"{name}.npy", array, digest, split)
        info = PreparedInfo(
            digest.hexdigest(), {split: len(part.labels) for split, part in parts.items()},
            {split: _counts(part.labels, num_classes) for split, part in parts.items()},
            moments.mean(), moments.std(),
            {split: _counts(part.arrays["groups"], num_groups) for split, part in parts.items()} if num_groups else {},
        )
        with (folder / "manifest.json").open("w") as file:
            json.dump(asdict(info), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        return _publish(folder, root)


def place(root: Path, fill: Callable[[Path], None]) -> PreparedInfo:
    """Has `fill` copy a whole form, manifest and all, into a folder that then becomes `root`."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with _staging(root) as folder:
        fill(folder)
        return _publish(folder, root)


def read_info(root: Path) -> PreparedInfo | None:
    """What `pack` stored, or None where it has not."""
    try:
        manifest = (root / "manifest.json").read_text()
    except FileNotFoundError:
        return None
    return PreparedInfo(**json.loads(manifest))


def arrays(root: Path, split: str) -> dict[str, np.ndarray]:
    """The split's arrays by name, mapped into memory: read from the disk as they are used, written to never.

    Raises:
        ValueError: `split` is none of the three.
        FileNotFoundError: nothing is prepared there.
    """
    if split not in SPLITS:
        raise ValueError(f"expected split to be one of {', '.join(SPLITS)}, got {split!r}")
    if read_info(root) is None:
        raise FileNotFoundError(f"nothing is prepared in {root}; call prepare() on that folder first")
    files = sorted((root / split).glob("*.npy"))
    return {path.stem: np.load(path, mmap_mode="c", allow_pickle=False) for path in files}


def load(root: Path, split: str) -> Dataset:
    """The split as training and evaluations take it. Raises as `arrays` does."""
    found = arrays(root, split)
    images = torch.from_numpy(found["images"])
    masks = found.get("masks")
    if masks is not None:
        height, width = images.shape[2:]
        bits = np.unpackbits(masks, axis=1, count=height * width)
        masks = torch.from_numpy(bits.view(bool).reshape(len(bits), 1, height, width))
    groups = found.get("groups")
    return Dataset(
        images, torch.from_numpy(found["labels"]), masks, None if groups is None else torch.from_numpy(groups)
    )


def packed_masks(masks: np.ndarray) -> np.ndarray:
    """(N, ceil(H·W / 8)) uint8 from (N, H, W) booleans: eight pixels to a byte, as `load` unpacks them."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def blocks_of(images: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """The images (N, C, H, W) in the given order, in blocks."""
    for start in range(0, len(order), BLOCK):
        yield images[order[start:start + BLOCK]]


def stopping(items: Iterable[Item], should_stop: Callable[[], bool]) -> Iterator[Item]:
    """The items one by one. Raises Stopped where `should_stop()` answers True in between."""
    for item in items:
        if should_stop():
            raise Stopped("the preparation was stopped")
        yield item


def require_room(folder: Path, needed: int) -> None:
    """Raises ValueError where the disk of `folder` has not so many bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"The disk of {folder} is full: {needed / 2**20:,.0f} MiB are needed and {free / 2**20:,.0f} MiB free. "
            "Free some space, then try again."
        )


def _publish(folder: Path, root: Path) -> PreparedInfo:
    """Renames `folder` to `root` unless another preparation was first; what lies there without a manifest goes."""
    with _opened(root.parent) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        info = read_info(root)
        if info is not None:
            return info
        if root.exists():
            shutil.rmtree(root)
        folder.rename(root)
        return PreparedInfo(**json.loads((root / "manifest.json").read_text()))


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """A folder to fill beside `root`, gone at the end unless it was renamed. Those of dead processes are cleared."""
    for abandoned in root.parent.glob(f".{root.name}.*"):
        with suppress(FileNotFoundError), _opened(abandoned) as handle:
            if _locked(handle):
                shutil.rmtree(abandoned, ignore_errors=True)
    folder = root.with_name(f".{root.name}.{uuid.uuid4().hex}")
    folder.mkdir()
    try:
        with _opened(folder) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _locked(handle: int) -> bool:
    """Whether this process got the folder's lock, which a living preparation holds and a dead one has lost."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_blocks(
    path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], digest: hashlib._Hash, split: str
) -> Iterator[np.ndarray]:
    """Writes the blocks one after the other into one array, and gives each back once it is written."""
    dtype = np.dtype(np.uint8) if path.stem == "images" else None
    written = 0
    with path.open("wb") as file:
        for block in blocks:
            if written == 0:
                dtype = dtype or block.dtype
                np.lib.format.write_array_header_1_0(
                    file, {"descr": dtype.str, "fortran_order": False, "shape": shape}
                )
                digest.update(f"{split}/{path.stem}/{dtype.str}/{shape}".encode())
            content = np.ascontiguousarray(block, dtype=dtype)
            digest.update(content)
            file.write(content)
            written += len(block)
            yield content
        file.flush()
        os.fsync(file.fileno())
    if written != shape[0]:
        raise ValueError(f"expected {shape[0]} {path.stem} of the {split} split, got {written}")


def _write_blocks_now(path: Path, array: np.ndarray, digest: hashlib._Hash, split: str) -> None:
    for _ in _write_blocks(path, [array], array.shape, digest, split):
        pass


def _counts(numbers: np.ndarray, kinds: int) -> list[int]:
    return np.bincount(numbers, minlength=kinds).tolist()


class _Moments:
    """Mean and standard deviation per channel on the [0, 1] scale, from sums of whole numbers: exact in any order."""

    def __init__(self, channels: int) -> None:
        self._count, self._sum, self._squares = 0, [0] * channels, [0] * channels

    def add(self, block: np.ndarray) -> None:
        self._count += block[:, 0].size
        for channel in range(block.shape[1]):
            levels = np.bincount(block[:, channel].ravel(), minlength=256).astype(np.int64)
            self._sum[channel] += int(levels @ np.arange(256))
            self._squares[channel] += int(levels @ np.arange(256) ** 2)

    def mean(self) -> list[float]:
        return [total / self._count / 255 for total in self._sum]

    def std(self) -> list[float]:
        return [
            max(0.0, squares / self._count - (total / self._count) ** 2) ** 0.5 / 255
            for total, squares in zip(self._sum, self._squares, strict=True)
        ]
