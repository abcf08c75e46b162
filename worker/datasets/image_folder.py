"""A user's own images: a folder, or a zip archive, with one folder of images for each class.

    cats/1.jpg dogs/2.jpg                              random splits: 20 % for testing, 10 % for validation
    train/cats/1.jpg test/cats/2.jpg                   given splits, in any case; missing ones are drawn from train
                                                       ("Training", "val", "valid", "dev", "Testing" are understood)
    groups.csv   with the columns file and group       optional: the sub-population of every image
    masks/cats/1.png                                   optional: of every image, white (or not 0) on the object

A single folder around all of that is skipped, and files that are no images are passed over and counted. Unlike other
data sets this one is prepared once, when it is registered: its facts are determined from the images, and everything
that is needed later is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from densitylab.worker.datasets import npy_store, photographs
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.groups_csv import read_groups
from densitylab.worker.datasets.image_layout import (
    MAX_LINES,
    BadFolder,
    LabelledImage,
    Layout,
    read_layout,
    require_none,
)
from densitylab.worker.datasets.image_source import BadTree, Tree
from densitylab.worker.datasets.npy_store import Part, stopping
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
        class_names: the names of the class folders, in order.
        group_names: the groups' names, in order; empty without a groups.csv.
        channels: 1 if all images are grey, else 3.
        image_size: (height, width).
        has_mask: whether there are masks.
        notes: sentences about files that were passed over and about small groups.
    """

    info: PreparedInfo
    class_names: list[str]
    group_names: list[str]
    channels: int
    image_size: tuple[int, int]
    has_mask: bool
    notes: list[str] = field(default_factory=list, compare=False)


def register(
    root: Path,
    tree: Tree,
    decoder: Decoder,
    *,
    image_size: tuple[int, int] | None = None,
    mask_marks: Literal["object", "null"] = "object",
    data_seed: int = 0,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Facts:
    """Read the tree, check everything, and store it as .npy files.

    Args:
        root: the folder to create.
        tree: the images, in the layout that this module's docstring shows.
        decoder: of the images.
        image_size: (height, width) to which all images are cropped and scaled; None: all must have the same size.
        mask_marks: meaning of the marked part of the masks, the object or the null part.
        data_seed: draws the splits that are not given, and the order of the training images.
        progress: called with the fraction done.
        should_stop: asked between images.

    Raises:
        BadFolder, BadTree: the images are not a data set.
        Interrupted: `should_stop()` returned True.
    """
    layout = read_layout(tree, decoder.SUFFIXES)
    images = layout.images
    groups, group_names = _groups(tree, layout)
    channels, size, shapes = _shape(tree, decoder, images, image_size, should_stop)
    masks = None
    if layout.masks is not None:
        masks = _masks(tree, decoder, layout.masks, shapes, size, mask_marks, should_stop)
    order = _splits(images, groups, np.random.default_rng(data_seed))
    labels = np.array([image.label for image in images])
    parts = {}
    for split, chosen in order.items():
        arrays = {} if groups is None else {"groups": groups[chosen]}
        if masks is not None:
            arrays["masks"] = np.stack([masks[index] for index in chosen])
        split_images = stopping([images[index] for index in chosen], should_stop)
        decoded = photographs.blocks(_decoded(tree, decoder, split_images, channels, size))
        parts[split] = Part(labels[chosen], decoded, arrays)
    info = npy_store.pack(
        root,
        parts,
        shape=(channels, *size),
        num_classes=len(layout.class_names),
        num_groups=len(group_names),
        progress=progress,
        should_stop=should_stop,
    )
    notes = [*_notes(layout), *_small_groups(layout, groups, group_names, order)]
    return Facts(info, layout.class_names, group_names, channels, size, masks is not None, notes)


def _groups(tree: Tree, layout: Layout) -> tuple[np.ndarray | None, list[str]]:
    """Return the group of each image and the group names, (None, []) without a groups.csv. Raises BadFolder."""
    if layout.groups_csv is None:
        return None, []
    files = [image.file for image in layout.images]
    group_of, problems = read_groups(tree.read(layout.groups_csv), files, layout.base)
    require_none(problems)
    names = sorted(set(group_of.values()))
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[group_of[file]] for file in files]), names


def _shape(
    tree: Tree,
    decoder: Decoder,
    images: list[LabelledImage],
    expected: tuple[int, int] | None,
    should_stop: Callable[[], bool],
) -> tuple[int, tuple[int, int], list[tuple[int, int]]]:
    """Return (channels, (height, width), sizes of the images) from their headers. Raises BadFolder."""
    sizes, all_grey, problems = [], True, []
    for image in stopping(images, should_stop):
        try:
            size, grey = decoder.header(tree.read(image.name))
        except ValueError as error:
            problems.append(_unreadable(image.file, error))
            if len(problems) > MAX_LINES:
                break
        else:
            sizes.append(size)
            all_grey = all_grey and grey
    require_none(problems)
    other = next((index for index, size in enumerate(sizes) if size != sizes[0]), None)
    if expected is None and other is not None:
        raise BadFolder(
            f"the images have different sizes: {images[0].file} has {_by(sizes[0])} pixels and {images[other].file} "
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


def _unreadable(name: str, error: ValueError) -> str:
    return str(error) if isinstance(error, BadTree) else f"{name} can't be read: {error}"


def _masks(
    tree: Tree,
    decoder: Decoder,
    names: list[str],
    shapes: list[tuple[int, int]],
    size: tuple[int, int],
    mask_marks: str,
    should_stop: Callable[[], bool],
) -> list[np.ndarray]:
    """Return packed bits for each image, True on the null part. Raises BadFolder."""
    masks, problems = [], []
    for name, shape in stopping(zip(names, shapes, strict=True), should_stop):
        try:
            content = tree.read(name)
            height, width = decoder.header(content)[0]
            if abs(height * shape[1] - width * shape[0]) > max(*shape, height, width):
                problems.append(f"the mask {name} has {_by((height, width))} pixels, but its image {_by(shape)}")
                continue
            marked = decoder.mask(content, size)
            if marked.all() or not marked.any():
                problems.append(f"the mask {name} marks {'every' if marked.any() else 'no'} pixel")
            masks.append(npy_store.packed_masks((marked if mask_marks == "null" else ~marked)[None])[0])
        except ValueError as error:
            problems.append(_unreadable(f"the mask {name}", error))
        if len(problems) > MAX_LINES:
            break
    require_none(problems)
    return masks


def _splits(images: list[LabelledImage], groups: np.ndarray | None, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return indices by split. Given splits stay; the others are drawn, stratified by class and group."""
    labels = np.array([image.label for image in images])
    given = np.array([image.split or "train" for image in images])
    order = {split: rng.permutation(np.flatnonzero(given == split)) for split in ("train", "validation", "test")}
    for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE / (1 - TEST_SHARE))):
        if not len(order[split]):
            train = order["train"]
            alone = [label for label in np.unique(labels[train]) if np.sum(labels[train] == label) < 2]
            if alone:
                image = images[train[np.flatnonzero(labels[train] == alone[0])[0]]]
                raise BadFolder(
                    f"too few images to draw the {split} split: {image.file} would be the last of its class in training"
                )
            strata = _strata(labels[train], None if groups is None else groups[train])
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
    tree: Tree, decoder: Decoder, images: Iterable[LabelledImage], channels: int, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield the images (C, H, W). Raises BadFolder at the end of the split, or after MAX_LINES problems."""
    problems: list[str] = []
    for image in images:
        try:
            yield decoder.decode(tree.read(image.name), channels, size)
        except ValueError as error:
            problems.append(_unreadable(image.file, error))
            if len(problems) > MAX_LINES:
                break
            yield np.zeros((channels, *size), np.uint8)
    require_none(problems)


def _notes(layout: Layout) -> Iterator[str]:
    """Yield a sentence about the files that were passed over, and one about masks without an image."""
    for names, kind in (
        (layout.passed_over, "Files that are no images, passed over"),
        (layout.unused_masks, "Masks without an image"),
    ):
        if names:
            shown = ", ".join(repr(name)[1:-1] for name in names[:3])
            yield f"{kind}: {len(names):,} ({shown}{', …' if len(names) > 3 else ''})."


def _small_groups(
    layout: Layout, groups: np.ndarray | None, group_names: list[str], order: dict[str, np.ndarray]
) -> Iterator[str]:
    """Yield a sentence that lists the groups that are missing in a split."""
    if groups is None:
        return
    kinds = [(image.label, group) for image, group in zip(layout.images, groups.tolist(), strict=True)]
    total = Counter(kinds)
    present = {split: {kinds[index] for index in chosen} for split, chosen in order.items()}
    small = []
    for kind in sorted(total):
        missing = [split for split in order if kind not in present[split]]
        if missing:
            label, group = kind
            small.append(
                f"{layout.class_names[label]} × {group_names[group]} ({total[kind]} in all, none in "
                f"{' and '.join(missing)})"
            )
    if small:
        yield f"Small groups: {', '.join(small[:MAX_LINES])}{', …' if len(small) > MAX_LINES else ''}."


__all__ = ["BadFolder", "BadTree", "Facts", "register"]
