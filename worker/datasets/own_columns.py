"""Roles of the columns of a table, or of arrays: by their common names, and as the user says."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densitylab.worker.datasets.own_images import MAX_ATTRIBUTES, BadFolder, Column, Report, Role
from densitylab.worker.datasets.own_values import Where, attribute_problem, distinct_texts, number_of

_AUTO_VALUES = 20  # different values up to which a column that nobody names is an attribute
_EXAMPLES = 5
# By role, the most usual first
COMMON_NAMES: dict[Role, tuple[str, ...]] = {
    "image": (
        *("image", "images", "img", "file", "file_name", "filename", "img_filename", "image_filename", "image_file"),
        *("image_path", "img_path", "filepath", "file_path", "path", "image_name", "img_name", "image_id", "x", "data"),
        *("pixels", "imgs", "arr_0"),
    ),
    "label": (
        *("label", "labels", "y", "class", "target", "targets", "class_name", "category", "y_array", "classes"),
        *("label_name", "class_id", "label_id", "fine_label", "arr_1"),
    ),
    "split": ("split", "splits", "partition", "set", "subset", "split_array", "split_id", "split_name"),
    "mask": (
        *("mask", "masks", "mask_file", "mask_filename", "mask_path", "mask_name", "mask_file_name", "segmentation"),
        *("segmentation_mask", "segmentation_path", "seg", "mask_array"),
    ),
    "group": ("group", "groups", "group_id", "group_name", "group_array", "g", "subgroup"),
}


@dataclass(frozen=True)
class Roles:
    """The column of each role, None for none, and those that may be attributes."""

    image: str | None
    label: str | None
    split: str | None
    mask: str | None
    group: str | None
    attributes: list[str]
    chosen: bool  # whether the user named the attributes


def recognise(columns: Sequence[str], given: Mapping[str, Any], name: str) -> Roles:
    """Return the roles of columns.

    Args:
        columns: their names.
        given: the column of each role, "" for none; "attributes": a list of columns; those left out are recognised.
        name: of the table, for messages.

    Raises:
        BadFolder: a column that is given does not exist, or has two roles.
    """
    problems, taken = [], {}
    named = [*(given.get("attributes") or []), *(given[role] for role in COMMON_NAMES if given.get(role))]
    for column in named:
        if column not in columns:
            problems.append(f"{name} has no column {column!r}: it has {', '.join(columns)}")
        elif named.count(column) > 1:
            problems.append(f"the column {column!r} is named for two things: expected one role for each")
    if problems:
        raise BadFolder(problems[0])
    for role, names in COMMON_NAMES.items():
        if given.get(role) is not None:
            taken[role] = given[role] or None
            continue
        normal = {_normal(column): column for column in reversed(columns) if column not in named}
        taken[role] = next((normal[known] for known in names if known in normal), None)
    rest = [column for column in columns if column not in taken.values()]
    chosen = given.get("attributes")
    return Roles(**taken, attributes=rest if chosen is None else list(chosen), chosen=chosen is not None)


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def usable_attributes(
    roles: Roles,
    cells: Mapping[str, Sequence[Any]],
    where: Callable[[str], Where],
    problems: list[str],
) -> tuple[list[str], dict[str, str]]:
    """Return the columns that are attributes, and the reason for each that is none.

    What is wrong with a column that the user named is added to `problems`; one that was only recognised is passed over.
    """
    usable, reasons = [], {}
    for column in roles.attributes:
        reason = attribute_problem(column, cells[column], where(column))
        if roles.chosen:
            if reason is not None:
                problems.append(reason)
            else:
                usable.append(column)
            continue
        reason = reason or _not_by_itself(column, cells[column])
        if reason is None and len(usable) == MAX_ATTRIBUTES:
            reason = f"there are {MAX_ATTRIBUTES} attributes already"
        if reason is None:
            usable.append(column)
        else:
            reasons[column] = reason
    if roles.chosen and len(usable) > MAX_ATTRIBUTES:
        problems.append(f"expected at most {MAX_ATTRIBUTES} attributes, got {len(usable)}")
    return usable, reasons


def _not_by_itself(column: str, cells: Sequence[Any]) -> str | None:
    """Return why a column is no attribute unless the user names it."""
    kinds = distinct_texts(cells)
    if len(kinds) > _AUTO_VALUES:
        return f"{len(kinds):,} different values: name it among the attributes to use it"
    if len(kinds) == len(cells):
        return "a different value for every image"
    if any((number := number_of(kind)) is not None and not number.is_integer() for kind in kinds):
        return "numbers with fractions"
    return None


def recognised(
    columns: Sequence[str],
    cells: Mapping[str, Sequence[Any]],
    given: Mapping[str, Any],
    where: Callable[[str], Where],
    name: str,
    problems: list[str],
    report: Report,
) -> tuple[Roles, list[str]]:
    """Return the roles of a table's columns and its attributes.

    The report gets the columns, as they would be recognised by themselves if what the user says can't be followed. What
    is wrong with a column that the user named is added to `problems`. Raises BadFolder as `recognise` does.
    """
    for choice in ({}, given) if given else ({},):
        found: list[str] = []
        roles = recognise(columns, choice, name)
        attributes, reasons = usable_attributes(roles, cells, where, found)
        report.columns = described(roles, columns, cells, attributes, reasons)
    problems += found
    return roles, attributes


def described(
    roles: Roles,
    columns: Iterable[str],
    cells: Mapping[str, Sequence[Any]],
    attributes: Collection[str],
    reasons: Mapping[str, str],
) -> list[Column]:
    """Return each column with what it was recognised as."""
    role_of: dict[str | None, Role] = {getattr(roles, role): role for role in COMMON_NAMES}
    found = []
    for name in columns:
        values = cells.get(name, ())
        counted = name in cells and not isinstance(values, range)  # which stands for the images themselves
        texts = distinct_texts(values) if counted else []
        role = role_of.get(name) or ("attribute" if name in attributes else None)
        distinct = len(texts) if counted else None
        found.append(
            Column(
                name, role, distinct, [text[:100] for text in texts[:_EXAMPLES]], "" if role else reasons.get(name, "")
            )
        )
    return found
