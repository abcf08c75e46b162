"""A user's own images as values: how to read each, with its class, split, attributes, group and mask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from densitylab.worker.datasets.image_source import BadTree

MAX_LINES = 20  # of problems in one message
MAX_CLASSES = 1000
MAX_GROUPS = 500
MAX_ATTRIBUTES = 64
MAX_VALUES = 100  # of an attribute
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tests"), "test"),
}
Role = Literal["image", "label", "split", "mask", "group", "attribute"]


class BadFolder(BadTree):
    """Raised if the images are not a data set; the message says why."""


@dataclass(frozen=True)
class Attribute:
    """A property of every image.

    Args:
        name: of its column.
        values: names of its values, in order.
        codes: (N,) int64, the index of each image's value.
        crossed: of groups: the attributes that the label is crossed with.
    """

    name: str
    values: list[str]
    codes: np.ndarray
    crossed: Sequence[str] = ()


@dataclass(frozen=True)
class Masks:
    """A mask for every image.

    Args:
        names: of the masks, for messages.
        read: returns a mask as an encoded image, by the image's index.
    """

    names: Sequence[str]
    read: Callable[[int], bytes]


@dataclass(frozen=True)
class OwnImages:
    """Images of a user, sorted but not decoded.

    Args:
        files: names of the N images, for messages.
        read: returns an image as an encoded file, by its index.
        labels: (N,) int64.
        class_names: in the order of the labels.
        splits: of each image; None where it is drawn.
        attributes: in their order.
        groups: the group of each image; None without groups.
        masks: None without masks.
        notes: sentences about what was passed over.
    """

    files: Sequence[str]
    read: Callable[[int], bytes]
    labels: np.ndarray
    class_names: list[str]
    splits: Sequence[str | None]
    attributes: list[Attribute] = field(default_factory=list)
    groups: Attribute | None = None
    masks: Masks | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ReadOptions:
    """What a user says about the images, where it should not be recognised.

    Args:
        table: name of the table to read.
        columns: the column of each role, "" for none; "attributes": a list of columns.
        pattern: of the images' names, such as "{label}/{place}/*".
        split_values: the split that each value of the split column means.
        class_names: names of the classes, in the order of the labels' values.
        group_by: attributes that are crossed with the label to groups; (): no groups; None: as recognised.
    """

    table: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    pattern: str | None = None
    split_values: Mapping[str, str] = field(default_factory=dict)
    class_names: Sequence[str] | None = None
    group_by: Sequence[str] | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table, or an array, and what it was recognised as.

    Args:
        name: of the column.
        role: what it holds; None: it is passed over.
        distinct: number of different values; None: not counted.
        examples: the first different values.
        reason: why it is passed over, or what about it needs to be known.
    """

    name: str
    role: Role | None = None
    distinct: int | None = None
    examples: list[str] = field(default_factory=list)
    reason: str = ""


@dataclass
class Report:
    """What was recognised, filled while the images are read, so that a preview has it even if they are refused."""

    layout: str = ""
    columns: list[Column] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def require_none(problems: Collection[str]) -> None:
    """Raise BadFolder if there are problems, with a line for each of the first MAX_LINES."""
    if len(problems) == 1:
        raise BadFolder(next(iter(problems)))
    if problems:
        lines = list(problems)
        if len(lines) > MAX_LINES:
            lines = [*lines[: MAX_LINES - 1], f"and {len(lines) - MAX_LINES + 1:,} more"]
        raise BadFolder(f"{len(problems):,} things are wrong:\n" + "\n".join(lines))


def counted_names(kind: str, names: Sequence[str]) -> Iterable[str]:
    """Yield a sentence that counts what was passed over and names the first three, none for no names."""
    if names:
        shown = ", ".join(repr(name)[1:-1] for name in names[:3])
        yield f"{kind}: {len(names):,} ({shown}{', …' if len(names) > 3 else ''})."


def crossed(labels: np.ndarray, class_names: Sequence[str], attributes: Sequence[Attribute]) -> Attribute:
    """Return the groups label × attributes, each combination one, the label first and the last attribute fastest.

    Raises BadFolder for more than MAX_GROUPS combinations.
    """
    names, codes = list(class_names), labels.astype(np.int64)
    for attribute in attributes:
        names = [f"{name}, {value}" for name in names for value in attribute.values]
        codes = codes * len(attribute.values) + attribute.codes
        if len(names) > MAX_GROUPS:
            crossing = " × ".join(["the label", *(item.name for item in attributes)])
            raise BadFolder(f"{crossing} are more than {MAX_GROUPS} groups: cross fewer attributes (group_by)")
    return Attribute("group", names, codes, [attribute.name for attribute in attributes])
