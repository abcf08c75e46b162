"""A user's own images: a folder, or a zip archive, with one folder of images for each class.

    cats/1.jpg dogs/2.jpg                              the splits are drawn: 20 % to test, 10 % for validation
    train/cats/1.jpg test/cats/2.jpg                   the splits are given; what is missing is drawn from train
                                                       ("val", "valid" and "validation" are one)
    groups.csv   with the columns file and group       optional: the sub-population of every image
    masks/cats/1.png                                   optional: for every image, white where the object is

A folder around all of that is passed over. Unlike other data sets this one is prepared once, when it is registered: its
facts are found in the images, and everything that is needed later is stored.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from worker.datasets import compact, photographs
from worker.datasets.compact import Part
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.photographs import SUFFIXES, Unreadable
from worker.datasets.splits import VALIDATION_SHARE, hold_out
from worker.datasets.tree import BadTree, Tree

TEST_SHARE = 0.2
MAX_CLASSES = 1000
SIDES = (8, 512)
_IGNORED = ("thumbs.db", "desktop.ini")
_SPLITS = {"train": "train", "test": "test", "val": "validation", "valid": "validation", "validation": "validation"}


class BadFolder(ValueError):
    """The images do not make a data set; the message says why."""


@dataclass(frozen=True)
class Facts:
    """What was found in the images.

    Args:
        info: what is known of every prepared data set.
        class_names: the names of the class folders, in order.
        group_names: the groups' names, in order; empty where there is no groups.csv.
        channels: 1 where all images are grey, else 3.
        image_size: (height, width).
        has_mask: whether there are masks.
    """

    info: PreparedInfo
    class_names: list[str]
    group_names: list[str]
    channels: int
    image_size: tuple[int, int]
    has_mask: bool


@dataclass(frozen=True)
class _Image:
    name: str  # in the tree
    file: str  # below the folder that holds everything: what groups.csv says
    split: str | None
    label: int


def load(root: Path, split: str) -> Dataset:
    """One split, as it was stored when the folder was registered.

    Args:
        root: this data set's folder.
        split: "train", "validation" or "test".

    Returns:
        images (N, C, H, W) uint8, labels (N,), groups (N,) and masks (N, 1, H, W) where they were given.

    Raises:
        FileNotFoundError: the data set is not prepared there.
    """
    return compact.load(root, split)


def register(
    root: Path, tree: Tree, *, image_size: tuple[int, int] | None = None,
    mask_marks: Literal["object", "null"] = "object", data_seed: int = 0, progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Facts:
    """Read the tree, check everything, and store it in the compact form.

    Args:
        root: this data set's folder, to be made.
        tree: the images, in the layout that this module's docstring shows.
        image_size: (height, width) to which all images are cut and scaled; None: all must have one size already.
        mask_marks: what is white in the masks, the object or the null part.
        data_seed: draws the splits that are not given, and the order of the training images.
        progress: told the fraction done.
        should_stop: asked again and again.

    Raises:
        BadFolder, BadTree: the images do not make a data set.
        Stopped: `should_stop()` answered True.
    """
    base, names = _inside(tree.names)
    class_names, images = _images(base, names)
    groups, group_names = _groups(tree, base, names, images)
    masks = _masks(base, names, images)
    channels, size = _shape(tree, images, image_size, compact.stopping(images, should_stop))
    order = _splits(images, groups, np.random.default_rng(data_seed))
    labels = np.array([image.label for image in images])
    parts = {}
    for split, chosen in order.items():
        arrays = {} if groups is None else {"groups": groups[chosen]}
        if masks is not None:
            arrays["masks"] = _packed(tree, [masks[index] for index in chosen], size, mask_marks)
        decoded = photographs.blocks(_decoded(tree, images[index].name, channels, size) for index in chosen)
        parts[split] = Part(labels[chosen], decoded, arrays)
    info = compact.pack(
        root, parts, shape=(channels, *size), num_classes=len(class_names), num_groups=len(group_names),
        progress=progress, should_stop=should_stop,
    )
    return Facts(info, class_names, group_names, channels, size, masks is not None)


def _inside(names: list[str]) -> tuple[str, list[str]]:
    """(the folder around everything, the files that count below it)."""
    counted = [
        name for name in names
        if name.rsplit("/", 1)[-1].lower() not in _IGNORED
        and not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
    ]
    if not counted:
        raise BadFolder("there are no images: expected a folder for each class, with its images inside")
    base = ""
    while True:
        below = [name[len(base):] for name in counted]
        tops = {name.split("/", 1)[0] for name in below}
        # a single folder that holds folders is around everything; one that holds images is a class
        if len(tops) == 1 and all(name.count("/") >= 2 for name in below) and not tops & _SPLITS.keys():
            base += f"{tops.pop()}/"
        else:
            return base, below


def _images(base: str, names: list[str]) -> tuple[list[str], list[_Image]]:
    """(the classes' names, the images). Raises BadFolder."""
    found: list[tuple[str | None, str, str]] = []
    given = any(name.startswith("train/") and name.count("/") >= 2 for name in names)
    for name in names:
        parts = name.split("/")
        if name == "groups.csv" or parts[0] == "masks":
            continue
        split = _SPLITS.get(parts[0]) if given else None
        inside = parts[1:] if given else parts
        if given and split is None:
            raise BadFolder(f"{name} is in none of the folders train, validation and test")
        if len(inside) != 2:
            raise BadFolder(f"{name} is not in a class's folder: expected {'SPLIT/' if given else ''}CLASS/IMAGE")
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            raise BadFolder(f"{name} is not an image; expected {', '.join(SUFFIXES)}")
        found.append((split, inside[0], name))
    classes = sorted({label for _, label, _ in found})
    if len(classes) < 2:
        raise BadFolder(f"expected at least two classes, a folder for each, got {', '.join(classes) or 'none'}")
    if len(classes) > MAX_CLASSES:
        raise BadFolder(f"expected at most {MAX_CLASSES} classes, got {len(classes)}")
    for split in {split for split, _, _ in found}:
        missing = sorted(set(classes) - {label for where, label, _ in found if where == split})
        if missing:
            raise BadFolder(f"the class {missing[0]} has no image in {split}")
    number = {label: index for index, label in enumerate(classes)}
    return classes, [_Image(base + name, name, split, number[label]) for split, label, name in found]


def _groups(tree: Tree, base: str, names: list[str], images: list[_Image]) -> tuple[np.ndarray | None, list[str]]:
    """(the group of each image, the groups' names); (None, []) without a groups.csv. Raises BadFolder."""
    if "groups.csv" not in names:
        return None, []
    try:
        rows = list(csv.DictReader(io.StringIO(tree.read(f"{base}groups.csv").decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFolder(f"groups.csv can't be read: {error}") from None
    if not rows or not {"file", "group"} <= rows[0].keys():
        raise BadFolder("groups.csv: expected the columns file and group, and a line for each image")
    known = {image.file for image in images}
    group_of: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        file, group = (row["file"] or "").strip(), (row["group"] or "").strip()
        if file not in known:
            raise BadFolder(f"groups.csv, line {line}: there is no image {file!r}")
        if not group:
            raise BadFolder(f"groups.csv, line {line}: {file} has no group")
        if group_of.setdefault(file, group) != group:
            raise BadFolder(f"groups.csv, line {line}: {file} is in two groups")
    without = next((image.file for image in images if image.file not in group_of), None)
    if without is not None:
        raise BadFolder(f"groups.csv names no group for {without}")
    names_of = sorted(set(group_of.values()))
    number = {name: index for index, name in enumerate(names_of)}
    return np.array([number[group_of[image.file]] for image in images]), names_of


def _masks(base: str, names: list[str], images: list[_Image]) -> list[str] | None:
    """The name of each image's mask; None where there is no folder of masks. Raises BadFolder."""
    given = {str(PurePosixPath(name).with_suffix("")): name for name in names if name.startswith("masks/")}
    if not given:
        return None
    wanted = [f"masks/{PurePosixPath(image.file).with_suffix('')}" for image in images]
    missing = next((name for name in wanted if name not in given), None)
    if missing is not None:
        raise BadFolder(f"there is no mask {missing}.png: expected one for every image, or no folder of masks")
    return [base + given[name] for name in wanted]


def _shape(
    tree: Tree, images: list[_Image], wanted: tuple[int, int] | None, seen: Iterator[_Image]
) -> tuple[int, tuple[int, int]]:
    """(channels, (height, width)) from the headers of all images. Raises BadFolder."""
    first: tuple[tuple[int, int], str] | None = None
    grey = True
    for image in seen:
        try:
            size, is_grey = photographs.header(tree.read(image.name))
        except Unreadable as error:
            raise BadFolder(f"{image.file} can't be read: {error}") from None
        grey = grey and is_grey
        first = first or (size, image.file)
        if wanted is None and size != first[0]:
            raise BadFolder(
                f"the images have different sizes: {first[1]} has {_by(first[0])} pixels and {image.file} {_by(size)}; "
                "give an image size, to which all of them are cut and scaled"
            )
    size = wanted or (first[0] if first else (0, 0))
    if not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise BadFolder(f"expected images of {SIDES[0]} to {SIDES[1]} pixels a side, got {_by(size)}: "
                        "give an image size, to which all of them are cut and scaled")
    return (1 if grey else 3), size


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _splits(images: list[_Image], groups: np.ndarray | None, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Indices by split. Given ones stay; the others are drawn, with each class and group in its share."""
    strata = np.array([image.label for image in images])
    if groups is not None:
        strata = strata * (1 + groups.max()) + groups
    where = np.array([image.split or "train" for image in images])
    order = {split: rng.permutation(np.flatnonzero(where == split)) for split in ("train", "validation", "test")}
    for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE / (1 - TEST_SHARE))):
        if not len(order[split]):
            train = order["train"]
            alone = [kind for kind in np.unique(strata[train]) if np.sum(strata[train] == kind) < 2]
            if alone:
                image = images[train[np.flatnonzero(strata[train] == alone[0])[0]]]
                raise BadFolder(f"too few images to draw the {split} split: {image.file} would be the last of its "
                                "class and group in training")
            kept, held = hold_out(strata[train], share, rng)
            order["train"], order[split] = train[kept], train[held]
    return order


def _decoded(tree: Tree, name: str, channels: int, size: tuple[int, int]) -> np.ndarray:
    try:
        return photographs.decode(tree.read(name), channels, size)
    except Unreadable as error:
        raise BadFolder(f"{name} can't be read: {error}") from None


def _packed(tree: Tree, names: list[str], size: tuple[int, int], mask_marks: str) -> np.ndarray:
    """Packed bits, True on the null part."""
    rows = []
    for name in names:
        white = _decoded(tree, name, 1, size) >= 128
        rows.append(compact.packed_masks(white if mask_marks == "null" else ~white))
    return np.concatenate(rows)


__all__ = ["BadFolder", "BadTree", "Facts", "load", "register"]
