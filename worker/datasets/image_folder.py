"""A user's own images as a data set: read, checked, and stored once, when they are registered.

Unlike other data sets this one is prepared once: its facts are determined from the images, and everything that is
needed later is stored. `own_images_reader.py` says in which forms the images may come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from densitylab.worker.datasets import npy_store, photographs
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.image_source import BadTree, Tree
from densitylab.worker.datasets.npy_store import Part, stopping
from densitylab.worker.datasets.own_images import (
    MAX_LINES,
    Attribute,
    BadFolder,
    Masks,
    OwnImages,
    ReadOptions,
    Report,
    require_none,
)
from densitylab.worker.datasets.own_images_reader import read
from densitylab.worker.datasets.splits import VALIDATION_SHARE, hold_out

TEST_SHARE = 0.2
SIDES = (8, 512)


class Decoder(Protocol):
    """Functions that decode an image. They raise ValueError with the reason."""

    @property
    def SUFFIXES(self) -> tuple[str, ...]: ...

    def header(self, content: bytes) -> tuple[tuple[int, int], bool]:
        """Return the (height, width) and whether the image is grey."""
        ...

    def decode(self, content: bytes, channels: int, size: tuple[int, int]) -> np.ndarray:
        """Return (C, H, W) uint8."""
        ...

    def mask(self, content: bytes, size: tuple[int, int]) -> np.ndarray:
        """Return (H, W) booleans, True where the mask marks."""
        ...


@dataclass(frozen=True)
class Facts:
    """Facts of the registered images.

    Args:
        info: facts of every prepared data set.
        class_names: the names of the classes, in order.
        group_names: the groups' names, in order; empty without groups.
        channels: 1 if all images are grey, else 3.
        image_size: (height, width).
        has_mask: whether there are masks.
        attributes: the names of each attribute's values.
        notes: sentences about what was passed over and about small groups.
    """

    info: PreparedInfo
    class_names: list[str]
    group_names: list[str]
    channels: int
    image_size: tuple[int, int]
    has_mask: bool
    attributes: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list, compare=False)


def register(
    root: Path,
    tree: Tree,
    decoder: Decoder,
    *,
    options: ReadOptions | None = None,
    image_size: tuple[int, int] | None = None,
    mask_marks: Literal["object", "null"] = "object",
    data_seed: int = 0,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Facts:
    """Read the tree, check everything, and store it as .npy files.

    Args:
        root: the folder to create.
        tree: the images, in a form that `own_images_reader.py` describes.
        decoder: of the images.
        options: what should not be recognised.
        image_size: (height, width) to which all images are cropped and scaled; None: all must have the same size.
        mask_marks: meaning of the marked part of the masks, the object or the null part.
        data_seed: draws the splits that are not given, and the order of the training images.
        progress: called with the fraction done.
        should_stop: asked between images.

    Raises:
        BadFolder, BadTree: the images are not a data set.
        Interrupted: `should_stop()` returned True.
    """
    own = read(tree, decoder.SUFFIXES, options or ReadOptions(), Report())
    channels, size, shapes = _shape(decoder, own, image_size, should_stop)
    masks = None if own.masks is None else _masks(decoder, own.masks, shapes, size, mask_marks, should_stop)
    order = draw_splits(own, np.random.default_rng(data_seed))
    parts = {}
    for split, chosen in order.items():
        arrays = {} if own.groups is None else {"groups": own.groups.codes[chosen]}
        if own.attributes:
            arrays["attributes"] = np.stack([item.codes[chosen] for item in own.attributes], axis=1).astype(np.uint8)
        if masks is not None:
            arrays["masks"] = np.stack([masks[index] for index in chosen])
        decoded = photographs.blocks(_decoded(decoder, own, stopping(chosen.tolist(), should_stop), channels, size))
        parts[split] = Part(own.labels[chosen], decoded, arrays)
    group_names = [] if own.groups is None else own.groups.values
    attributes = {item.name: item.values for item in own.attributes}
    info = npy_store.pack(
        root,
        parts,
        shape=(channels, *size),
        num_classes=len(own.class_names),
        num_groups=len(group_names),
        attributes=attributes,
        progress=progress,
        should_stop=should_stop,
    )
    notes = [*own.notes, *small_groups(own, order)]
    return Facts(info, own.class_names, group_names, channels, size, masks is not None, attributes, notes)


def _shape(
    decoder: Decoder, own: OwnImages, expected: tuple[int, int] | None, should_stop: Callable[[], bool]
) -> tuple[int, tuple[int, int], list[tuple[int, int]]]:
    """Return (channels, (height, width), sizes of the images) from their headers. Raises BadFolder."""
    sizes, all_grey, problems = [], True, []
    for index in stopping(range(len(own.files)), should_stop):
        try:
            size, grey = decoder.header(own.read(index))
        except ValueError as error:
            problems.append(unreadable(own.files[index], error))
            if len(problems) > MAX_LINES:
                break
        else:
            sizes.append(size)
            all_grey = all_grey and grey
    require_none(problems)
    other = next((index for index, size in enumerate(sizes) if size != sizes[0]), None)
    if expected is None and other is not None:
        raise BadFolder(
            f"the images have different sizes: {own.files[0]} has {_by(sizes[0])} pixels and {own.files[other]} "
            f"{_by(sizes[other])}; set an image size, to which all are cropped and scaled"
        )
    size = expected or sizes[0]
    if not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise BadFolder(
            f"expected images of {SIDES[0]} to {SIDES[1]} pixels a side, got {_by(size)}: "
            "set an image size, to which all are cropped and scaled"
        )
    return (1 if all_grey else 3), size, sizes


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def unreadable(name: str, error: ValueError) -> str:
    """Return a sentence about an image that can't be read."""
    return str(error) if isinstance(error, BadTree) else f"{name} can't be read: {error}"


def _masks(
    decoder: Decoder,
    own: Masks,
    shapes: Sequence[tuple[int, int]],
    size: tuple[int, int],
    mask_marks: str,
    should_stop: Callable[[], bool],
) -> list[np.ndarray]:
    """Return packed bits for each image, True on the null part. Raises BadFolder."""
    masks, problems = [], []
    for index in stopping(range(len(shapes)), should_stop):
        name, shape = own.names[index], shapes[index]
        try:
            content = own.read(index)
            height, width = decoder.header(content)[0]
            if abs(height * shape[1] - width * shape[0]) > max(*shape, height, width):
                problems.append(f"the mask {name} has {_by((height, width))} pixels, but its image {_by(shape)}")
                continue
            marked = decoder.mask(content, size)
            if marked.all() or not marked.any():
                problems.append(f"the mask {name} marks {'every' if marked.any() else 'no'} pixel")
            masks.append(npy_store.packed_masks((marked if mask_marks == "null" else ~marked)[None])[0])
        except ValueError as error:
            problems.append(unreadable(f"the mask {name}", error))
        if len(problems) > MAX_LINES:
            break
    require_none(problems)
    return masks


def draw_splits(own: OwnImages, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return indices by split. Given splits stay; the others are drawn, stratified by class and group.

    Raises BadFolder if a class has too few images.
    """
    labels = own.labels
    given = np.array([split or "train" for split in own.splits])
    order = {split: rng.permutation(np.flatnonzero(given == split)) for split in npy_store.SPLITS}
    for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE / (1 - TEST_SHARE))):
        if not len(order[split]):
            train = order["train"]
            alone = [label for label in np.unique(labels[train]) if np.sum(labels[train] == label) < 2]
            if alone:
                file = own.files[train[np.flatnonzero(labels[train] == alone[0])[0]]]
                raise BadFolder(
                    f"too few images to draw the {split} split: {file} would be the last of its class in training"
                )
            strata = _strata(labels[train], None if own.groups is None else own.groups.codes[train])
            kept, held_out = hold_out(strata, share, rng)
            order["train"], order[split] = train[kept], train[held_out]
    return order


def _strata(labels: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return a number for class and group of each image. A single image joins the largest group of its class."""
    if groups is None:
        return labels
    strata = labels * (1 + groups.max()) + groups
    kinds, counts = np.unique(strata, return_counts=True)
    for single in kinds[counts == 1]:
        index, *more = np.flatnonzero(strata == single)
        if more:
            continue  # another single image has joined it
        others = np.delete(strata, index)[np.delete(labels, index) == labels[index]]
        strata[index] = Counter(others.tolist()).most_common(1)[0][0]
    return strata


def _decoded(
    decoder: Decoder, own: OwnImages, indices: Iterable[int], channels: int, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield the images (C, H, W). Raises BadFolder at the end of the split, or after MAX_LINES problems."""
    problems: list[str] = []
    for index in indices:
        try:
            yield decoder.decode(own.read(index), channels, size)
        except ValueError as error:
            problems.append(unreadable(own.files[index], error))
            if len(problems) > MAX_LINES:
                break
            yield np.zeros((channels, *size), np.uint8)
    require_none(problems)


def small_groups(own: OwnImages, order: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield a sentence that lists the groups that are missing in a split."""
    if own.groups is None:
        return
    kinds = list(zip(own.labels.tolist(), own.groups.codes.tolist(), strict=True))
    total = Counter(kinds)
    present = {split: {kinds[index] for index in chosen} for split, chosen in order.items()}
    small = []
    for label, group in sorted(total):
        missing = [split for split in order if (label, group) not in present[split]]
        if missing:
            name = _group_name(own.class_names[label], own.groups, group)
            small.append(f"{name} ({total[label, group]} in all, none in {' and '.join(missing)})")
    if small:
        yield f"Small groups: {', '.join(small[:MAX_LINES])}{', …' if len(small) > MAX_LINES else ''}."


def _group_name(class_name: str, groups: Attribute, group: int) -> str:
    name = groups.values[group]
    return name if name.startswith(f"{class_name}, ") else f"{class_name} × {name}"


__all__ = ["BadFolder", "BadTree", "Facts", "register"]
