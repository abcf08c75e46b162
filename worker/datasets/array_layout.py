"""Images in arrays: .npy files in a folder or archive, hence also an .npz, which is an archive of them.

    images (N, H, W), (N, H, W, C) or (N, C, H, W)     whole numbers 0 to 255, or floats in [0, 1]
    labels, splits, groups and attributes (N,)         numbers or texts
    masks (N, H, W), or packed (N, ceil(H·W / 8))      not 0 on the marked part
    class_names, ATTRIBUTE_names                       optional: names of the numbers 0, 1, …

Splits may also be in the arrays' names, as in train_images and x_test. Arrays of Python objects are never loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from densitylab.worker.datasets.image_layout import litter
from densitylab.worker.datasets.image_source import BadTree, Tree, nested_archive
from densitylab.worker.datasets.own_columns import described, recognise, usable_attributes
from densitylab.worker.datasets.own_groups import groups_of
from densitylab.worker.datasets.own_images import (
    SPLIT_NAMES,
    BadFolder,
    Masks,
    OwnImages,
    ReadOptions,
    Report,
    counted_names,
    require_none,
)
from densitylab.worker.datasets.own_values import categories, labels_of, splits_of
from densitylab.worker.datasets.table_layout import missing_classes

MAX_HEADER_BYTES = 10_000
_NAMES_OF = re.compile(r"(?P<of>.+?)_?names?")
_CLASS_NAMES = ("class", "label", "classes", "target")


@dataclass(frozen=True)
class _Array:
    """An array of a file, mapped into memory."""

    key: str
    values: np.ndarray


def is_array(name: str) -> bool:
    """Return whether a file is read as arrays."""
    return PurePosixPath(name).suffix.lower() in (".npy", ".npz")


def read_arrays(tree: Tree, options: ReadOptions, report: Report) -> OwnImages:
    """Return the images of the tree's arrays. Raises BadFolder; the message names the array."""
    report.layout = "arrays"
    found = _opened(tree)
    names = {key: array.values for key, array in found.items() if _holds_names(key, array.values)}
    columns, splits = _by_split({key: array for key, array in found.items() if key not in names})
    report.columns = described(recognise(list(columns), {}, "the file"), columns, {}, (), {})
    roles = recognise(list(columns), options.columns, "the file")
    if roles.image is None:
        raise BadFolder(f"there is no array of images: name it (image), one of {', '.join(columns)}")
    if roles.label is None:
        raise BadFolder(f"there is no array that is recognised as the label: name it (label), one of {_other(columns)}")
    problems: list[str] = []
    pictures = [_Pictures(array) for array in columns[roles.image]]
    sizes = [len(item.array.values) for item in pictures]
    cells: dict[str, Sequence[Any]] = {}
    for column, arrays in columns.items():
        if column in (roles.image, roles.mask):
            continue
        flat = [_flat(array.values) for array in arrays]
        if None in flat or [len(array.values) for array in arrays] != sizes:
            if column in (roles.label, roles.split, roles.group) or column in (options.columns.get("attributes") or ()):
                problems.append(_misfit(column, arrays, columns[roles.image]))
            continue
        cells[column] = [cell for values in flat for cell in (values if values is not None else ())]
    require_none(problems)
    if splits is not None and roles.split is None:
        given: list[str | None] = [split for split, count in zip(splits, sizes, strict=True) for _ in range(count)]
    where_of = _Places(columns, sizes)
    usable = [column for column in roles.attributes if column in cells]
    attributes, reasons = usable_attributes(
        replace(roles, attributes=usable), cells, lambda column: partial(where_of, column), problems
    )
    left_out = {column: "not one value for each image" for column in columns if column not in cells}
    report.columns = described(roles, columns, cells, attributes, left_out | reasons)
    labels, class_names = labels_of(
        roles.label,
        cells[roles.label],
        partial(where_of, roles.label),
        problems,
        options.class_names,
        _names_for(roles.label, names, is_label=True),
    )
    if roles.split is not None:
        given = splits_of(cells[roles.split], partial(where_of, roles.split), problems, options.split_values)
    elif splits is None:
        given = [None] * sum(sizes)
    require_none([*problems, *(() if problems else missing_classes(labels, class_names, given))])
    named = [categories(name, cells[name], _names_for(name, names)) for name in attributes]
    group = None if roles.group is None else categories(roles.group, cells[roles.group])
    rows = [(part, row) for part, count in zip(pictures, sizes, strict=True) for row in range(count)]
    return OwnImages(
        files=[f"{part.array.key}[{row}]" for part, row in rows],
        read=lambda index: rows[index][0].read(rows[index][1]),
        labels=labels,
        class_names=class_names,
        splits=given,
        attributes=named,
        groups=groups_of(labels, class_names, named, group, options.group_by),
        masks=None if roles.mask is None else _masks(columns[roles.mask], pictures),
        notes=list(counted_names("Files that are no arrays, passed over", [n for n in tree.names if not is_array(n)])),
    )


def _opened(tree: Tree) -> dict[str, _Array]:
    """Return the arrays by key. Raises BadFolder."""
    arrays: dict[str, _Array] = {}
    for name in tree.names:
        if litter(name) or not is_array(name):
            continue
        inner, members = tree, [name]
        if name.lower().endswith(".npz"):
            inner = nested_archive(tree, name)
            members = [member for member in inner.names if is_array(member)]
        for member in members:
            key = PurePosixPath(member).stem
            if key in arrays:
                raise BadFolder(f"there are two arrays called {key}: keep one file of arrays in the folder")
            arrays[key] = _Array(key, _mapped(inner, member))
    return arrays


def _mapped(tree: Tree, name: str) -> np.ndarray:
    """Return an array of an .npy file as a memory map. Raises BadFolder."""
    file = tree.open(name)
    size = file.seek(0, 2)
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"its format version {version[0]}.{version[1]} is not known")
        shape, fortran, dtype = read_header(file, max_header_size=MAX_HEADER_BYTES)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise BadFolder(f"{name} is not a NumPy array that can be read: {str(error).splitlines()[0][:200]}") from None
    if dtype.hasobject:
        raise BadFolder(
            f"{name} holds Python objects (pickle), which would run code and are never loaded: save it as numbers or "
            "texts, for example with array.astype(str)"
        )
    start = file.tell()
    needed = dtype.itemsize * int(np.prod([int(side) for side in shape], dtype=object))
    if size - start != needed:
        raise BadFolder(f"{name} is incomplete: its header says {needed:,} bytes, and it has {size - start:,}")
    if needed == 0:
        raise BadFolder(f"{name} is empty")
    return np.memmap(file, dtype, "r", start, tuple(shape), "F" if fortran else "C")  # type: ignore[call-overload]


def _holds_names(key: str, values: np.ndarray) -> bool:
    """Return whether an array names the numbers of another one: a short list of texts."""
    return bool(_NAMES_OF.fullmatch(key)) and values.dtype.kind in "US" and values.ndim == 1 and len(values) <= 1000


def _names_for(column: str, names: dict[str, np.ndarray], is_label: bool = False) -> list[str] | None:
    for key, values in names.items():
        match = _NAMES_OF.fullmatch(key)
        if match and (match["of"] == column or (is_label and match["of"] in _CLASS_NAMES)):
            return _texts(values)
    return None


def _by_split(arrays: dict[str, _Array]) -> tuple[dict[str, list[_Array]], list[str] | None]:
    """Return the arrays by name without a split, and the splits of each list; None for arrays without splits."""
    parts: dict[str, dict[str, _Array]] = {}
    for key, array in arrays.items():
        first, _, rest = key.partition("_")
        start, _, last = key.rpartition("_")
        split, name = SPLIT_NAMES.get(first.lower()), rest
        if split is None:
            split, name = SPLIT_NAMES.get(last.lower()), start
        if split is None or not name:
            return {key: [array] for key, array in arrays.items()}, None
        if split in parts.setdefault(name, {}):
            raise BadFolder(f"{parts[name][split].key} and {key} are both the {split} split: expected one")
        parts[name][split] = array
    splits = list(dict.fromkeys(split for by_split in parts.values() for split in by_split))
    if "train" not in splits:
        return {key: [array] for key, array in arrays.items()}, None
    complete = {name: by_split for name, by_split in parts.items() if set(by_split) == set(splits)}
    return {name: [by_split[split] for split in splits] for name, by_split in complete.items()}, splits


def _other(columns: dict[str, list[_Array]]) -> str:
    return ", ".join(name for name, arrays in columns.items() if arrays[0].values.ndim <= 2) or "none"


def _flat(values: np.ndarray) -> list[Any] | None:
    """Return one value for each image, of (N,) or (N, 1); None for other shapes and types."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "biufUS":
        return None
    return _texts(values) if values.dtype.kind in "US" else values.tolist()


def _texts(values: np.ndarray) -> list[str]:
    return [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in values.tolist()]


def _misfit(column: str, arrays: Sequence[_Array], images: Sequence[_Array]) -> str:
    shapes = " and ".join(f"{array.key} has the shape {array.values.shape}" for array in arrays)
    counts = " and ".join(f"{array.key} {len(array.values):,}" for array in images)
    return f"{shapes}: expected one number or text of {column} for each image ({counts})"


class _Places:
    """Names the array and index of a value."""

    def __init__(self, columns: dict[str, list[_Array]], sizes: Sequence[int]) -> None:
        self._columns, self._sizes = columns, sizes

    def __call__(self, column: str, index: int) -> str:
        for array, size in zip(self._columns[column], self._sizes, strict=True):
            if index < size:
                return f"{array.key}[{index}]"
            index -= size
        return column


class _Pictures:
    """An array of images, each read as an encoded image."""

    def __init__(self, array: _Array) -> None:
        self.array = array
        values = array.values
        shape = values.shape
        if values.ndim == 4 and shape[3] in (1, 3):
            self._move = False
        elif values.ndim == 4 and shape[1] in (1, 3):
            self._move = True
        elif values.ndim != 3:
            raise BadFolder(
                f"{array.key} has the shape {shape}: expected images (N, H, W), or (N, H, W, C) with 1 or 3 channels"
            )
        else:
            self._move = False
        if values.dtype.kind not in "biuf":
            raise BadFolder(f"{array.key} has the type {values.dtype}: expected numbers")
        height, width = (shape[2], shape[3]) if self._move else (shape[1], shape[2])
        self.size = (int(height), int(width))

    def read(self, row: int) -> bytes:
        """Return an image as a PNM file. Raises BadTree."""
        values = np.asarray(self.array.values[row])
        if self._move:
            values = np.moveaxis(values, 0, -1)
        return _pnm(_levels(values, f"{self.array.key}[{row}]"))


def _levels(values: np.ndarray, where: str) -> np.ndarray:
    """Return levels 0 to 255. Raises BadTree for numbers out of range."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * 255
    low, high = values.min(), values.max()
    top = 1 if values.dtype.kind == "f" else 255
    if not (low >= 0 and high <= top):  # NaN too
        kind = "floats in [0, 1]" if top == 1 else "whole numbers from 0 to 255"
        raise BadTree(f"{where} has numbers from {low:g} to {high:g}: expected {kind}")
    return np.rint(values * 255).astype(np.uint8) if top == 1 else values.astype(np.uint8)


def _pnm(levels: np.ndarray) -> bytes:
    """Return (H, W), (H, W, 1) or (H, W, 3) levels as a PGM or PPM file."""
    height, width = levels.shape[:2]
    kind = b"P6" if levels.ndim == 3 and levels.shape[2] == 3 else b"P5"
    return kind + f"\n{width} {height}\n255\n".encode() + np.ascontiguousarray(levels).tobytes()


def _masks(arrays: Sequence[_Array], pictures: Sequence[_Pictures]) -> Masks:
    """Return the masks of (N, H, W), (N, H, W, 1) or (N, 1, H, W), or packed bits. Raises BadFolder."""
    readers: list[tuple[str, Callable[[int], bytes], int]] = []
    for array, part in zip(arrays, pictures, strict=True):
        values, count = array.values, len(part.array.values)
        height, width = part.size
        packed = (count, (height * width + 7) // 8)
        shapes = ((count, height, width), (count, height, width, 1), (count, 1, height, width))
        if values.shape == packed and values.dtype == np.uint8:
            readers += [(array.key, partial(_unpacked, values, part.size), row) for row in range(count)]
        elif values.shape in shapes and values.dtype.kind in "biuf":
            readers += [(array.key, partial(_marked, values, part.size), row) for row in range(count)]
        else:
            raise BadFolder(
                f"{array.key} has the shape {values.shape} and the type {values.dtype}: expected masks "
                f"{shapes[0]}, or packed bits {packed} of uint8"
            )
    return Masks(
        [f"{key}[{row}]" for key, _, row in readers],
        lambda index: readers[index][1](readers[index][2]),
    )


def _unpacked(values: np.ndarray, size: tuple[int, int], row: int) -> bytes:
    bits = np.unpackbits(np.asarray(values[row]), count=size[0] * size[1])
    return _pnm(bits.reshape(size) * np.uint8(255))


def _marked(values: np.ndarray, size: tuple[int, int], row: int) -> bytes:
    return _pnm((np.asarray(values[row]).reshape(size) != 0) * np.uint8(255))
