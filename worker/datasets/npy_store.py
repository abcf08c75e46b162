"""Prepared data sets on disk: one .npy file per array, opened as a memory map.

A preparation fills a folder of its own beside the final one, writes the manifest last and then renames the folder. So
no reader sees a partial data set, concurrent preparations do not collide, and the next one deletes the folder of one
that was killed. The manifest has the SHA-256 of each file and of itself, and a file is checked when it is opened.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from densitylab.worker.datasets.dataset import Attribute, Dataset, PreparedInfo
from densitylab.worker.errors import Interrupted

SPLITS = ("train", "validation", "test")
Item = TypeVar("Item")
BLOCK = 512  # images decoded, hashed and written at a time


class DamagedData(ValueError):
    """A prepared data set whose files are not what was written."""


@dataclass(frozen=True)
class Part:
    """One split on its way to disk.

    Args:
        labels: (N,) int64, classes counted from 0.
        images: blocks (n, C, H, W) uint8 with N images in total.
        arrays: further arrays of length N by name, such as "groups" (int64), "attributes" (N, A) uint8 and "masks" (see
            `packed_masks`).
    """

    labels: np.ndarray
    images: Iterable[np.ndarray]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def pack(
    root: Path,
    parts: Mapping[str, Part],
    *,
    shape: tuple[int, int, int],
    num_classes: int,
    num_groups: int = 0,
    attributes: Mapping[str, list[str]] | None = None,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Store the splits under `root`, completely or not at all.

    Args:
        root: the folder to create; if another preparation was first, its result stays.
        parts: the splits by name, "train" among them.
        shape: (C, H, W) of every image.
        num_classes: counted per split.
        num_groups: counted per split; 0 without groups.
        attributes: names of the values of each attribute, in the order of the array "attributes"; None: there are none.
        progress: called with the fraction of written images.
        should_stop: asked at every block.

    Raises:
        Interrupted: `should_stop()` returned True.
        OSError: there is too little space on the disk.
    """
    total = sum(len(part.labels) for part in parts.values())
    root.parent.mkdir(parents=True, exist_ok=True)
    require_space(root.parent, total * int(np.prod(shape)))
    with _staging(root) as folder:
        digest, moments, done = hashlib.sha256(), _Moments(shape[0]), 0
        files: dict[str, str] = {}
        for split, part in parts.items():
            (folder / split).mkdir()
            blocks = stopping(part.images, should_stop)
            whole = (len(part.labels), *shape)
            for block in _write_blocks(folder / split / "images.npy", blocks, whole, digest, files):
                if split == "train":
                    moments.add(block)
                done += len(block)
                progress(done / total)
            for name, array in {"labels": part.labels, **part.arrays}.items():
                _write_blocks_now(folder / split / f"{name}.npy", array, digest, files)
        info = PreparedInfo(
            digest.hexdigest(),
            {split: len(part.labels) for split, part in parts.items()},
            {split: _counts(part.labels, num_classes) for split, part in parts.items()},
            moments.mean(),
            moments.std(),
            {split: _counts(part.arrays["groups"], num_groups) for split, part in parts.items()} if num_groups else {},
            files,
            dict(attributes or {}),
        )
        with (folder / "manifest.json").open("w") as file:
            json.dump({**asdict(info), "checksum": _checksum(asdict(info))}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        return _publish(folder, root)


def add_files(root: Path, fill: Callable[[Path], None]) -> PreparedInfo:
    """Let `fill` copy a complete data set, with its manifest, into a folder that then becomes `root`.

    Raises DamagedData if the copy is damaged; nothing is left behind.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with _staging(root) as folder:
        fill(folder)
        info = read_info(folder)
        for name, expected in ({} if info is None else info.files).items():
            _check(folder / name, expected)
        return _publish(folder, root)


def read_info(root: Path) -> PreparedInfo | None:
    """Return the facts that `pack` stored, None if there are none. Raises DamagedData."""
    try:
        manifest = (root / "manifest.json").read_bytes()
    except FileNotFoundError:
        return None
    try:
        facts = json.loads(manifest)
        expected = facts.pop("checksum", None)
        info = PreparedInfo(**facts)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedData("its manifest can't be read") from error
    if info.files and expected != _checksum(facts):
        raise DamagedData("its manifest does not agree with its checksum")
    return info


@contextmanager
def replacing(root: Path) -> Iterator[None]:
    """Set a damaged data set aside while another is made in its place; put it back if that fails."""
    if not root.exists():  # another job makes it again
        yield
        return
    aside = root.with_name(f".{root.name}.{uuid.uuid4().hex}")
    with _opened(root) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # `_staging` deletes unlocked folders of such a name
        root.rename(aside)
        try:
            yield
        except BaseException:
            if not root.exists():
                aside.rename(root)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def arrays(root: Path, split: str) -> dict[str, np.ndarray]:
    """Return the split's arrays by name, as memory maps that are read on use and never written.

    Raises:
        ValueError: `split` is none of the three.
        FileNotFoundError: no data set is prepared in `root`.
        DamagedData: a file is missing or does not agree with its checksum.
    """
    if split not in SPLITS:
        raise ValueError(f"expected split to be one of {', '.join(SPLITS)}, got {split!r}")
    info = read_info(root)
    if info is None:
        raise FileNotFoundError(f"nothing is prepared in {root}; call prepare() on that folder first")
    for name, expected in info.files.items():
        if name.startswith(f"{split}/"):
            _check(root / name, expected)
    try:
        files = sorted((root / split).glob("*.npy"))
        return {path.stem: np.load(path, mmap_mode="c", allow_pickle=False) for path in files}
    except (ValueError, EOFError, SyntaxError) as error:  # of a file without a checksum
        raise DamagedData(f"its arrays of the {split} split can't be read") from error


def load(root: Path, split: str) -> Dataset:
    """Return a split of a prepared data set. Raises as `arrays` does."""
    stored = arrays(root, split)
    images = torch.from_numpy(stored["images"])
    masks = None
    if "masks" in stored:
        height, width = images.shape[2:]
        bits = np.unpackbits(stored["masks"], axis=1, count=height * width)
        masks = torch.from_numpy(bits.view(bool).reshape(len(bits), 1, height, width))
    groups = stored.get("groups")
    return Dataset(
        images,
        torch.from_numpy(stored["labels"]),
        masks,
        None if groups is None else torch.from_numpy(groups),
        _attributes(root, stored),
    )


def _attributes(root: Path, stored: Mapping[str, np.ndarray]) -> dict[str, Attribute]:
    info = read_info(root)
    if info is None or "attributes" not in stored:
        return {}
    codes = torch.from_numpy(stored["attributes"].astype(np.int64))
    return {
        name: Attribute(tuple(values), codes[:, index]) for index, (name, values) in enumerate(info.attributes.items())
    }


def packed_masks(masks: np.ndarray) -> np.ndarray:
    """Return (N, ceil(H·W / 8)) uint8 from (N, H, W) booleans, eight pixels per byte, for `load` to unpack."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def blocks_of(images: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images (N, C, H, W) in the given order, in blocks."""
    for start in range(0, len(order), BLOCK):
        yield images[order[start : start + BLOCK]]


def stopping(items: Iterable[Item], should_stop: Callable[[], bool]) -> Iterator[Item]:
    """Yield the items. Raises Interrupted if `should_stop()` returns True in between."""
    for item in items:
        if should_stop():
            raise Interrupted("the preparation was stopped")
        yield item


def require_space(folder: Path, needed: int) -> None:
    """Check that the disk of `folder` has so many bytes left.

    Raises:
        OSError: ENOSPC, it has fewer.
        ValueError: it has fewer in all.
    """
    usage = shutil.disk_usage(folder)
    if usage.total < needed:
        raise ValueError(
            f"The disk is too small: {needed / 2**20:,.0f} MiB are needed, and it has {usage.total / 2**20:,.0f} MiB."
        )
    if usage.free < needed:
        raise OSError(
            errno.ENOSPC, f"{needed / 2**20:,.0f} MiB are needed, {usage.free / 2**20:,.0f} MiB are free on the disk"
        )


def _publish(folder: Path, root: Path) -> PreparedInfo:
    """Rename `folder` to `root` unless another preparation was first; delete a `root` without a manifest."""
    with _opened(root.parent) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(DamagedData):
            info = read_info(root)
            if info is not None:
                return info
        if root.exists():
            shutil.rmtree(root)
        folder.rename(root)
        published = read_info(root)
        assert published is not None
        return published


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """Yield a folder to fill beside `root`; delete it at the end unless renamed, and those of dead processes."""
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
    """Return whether this process got the folder's lock, which any running preparation has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_blocks(
    path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], digest: hashlib._Hash, files: dict[str, str]
) -> Iterator[np.ndarray]:
    """Write the blocks one after the other into one array, and yield each once it is written.

    The content is added to `digest`, and the checksum of the file to `files`.
    """
    split, of_file = path.parent.name, hashlib.sha256()
    dtype = np.dtype(np.uint8) if path.stem == "images" else None
    written = 0
    with path.open("wb") as file:
        for block in blocks:
            if written == 0:
                dtype = dtype or block.dtype
                header = io.BytesIO()
                np.lib.format.write_array_header_1_0(
                    header, {"descr": dtype.str, "fortran_order": False, "shape": shape}
                )
                file.write(header.getvalue())
                of_file.update(header.getvalue())
                digest.update(f"{split}/{path.stem}/{dtype.str}/{shape}".encode())
            content = np.ascontiguousarray(block, dtype=dtype)
            digest.update(content.data)
            of_file.update(content.data)
            file.write(content.data)
            written += len(block)
            yield content
        file.flush()
        os.fsync(file.fileno())
    if written != shape[0]:
        raise ValueError(f"expected {shape[0]} {path.stem} of the {split} split, got {written}")
    files[f"{split}/{path.name}"] = of_file.hexdigest()


def _write_blocks_now(path: Path, array: np.ndarray, digest: hashlib._Hash, files: dict[str, str]) -> None:
    for _ in _write_blocks(path, [array], array.shape, digest, files):
        pass


def _checksum(facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a manifest."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _check(path: Path, expected: str) -> None:
    """Raise DamagedData unless the file has the checksum."""
    try:
        state = path.stat()
        found = _sha256(path, state.st_size, state.st_mtime_ns)
    except FileNotFoundError:
        raise DamagedData(f"its file {path.parent.name}/{path.name} is missing") from None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedData(f"the disk cannot read its file {path.parent.name}/{path.name}") from error
    if found != expected:
        raise DamagedData(f"its file {path.parent.name}/{path.name} does not agree with its checksum")


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    """Return the SHA-256 (hex) of a file; the interactive worker asks for the same files at every request."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _counts(numbers: np.ndarray, kinds: int) -> list[int]:
    return np.bincount(numbers, minlength=kinds).tolist()


class _Moments:
    """Mean and standard deviation per channel on the [0, 1] scale, from integer sums, which are exact in any order."""

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
