"""Meaning of the values that users write: labels, splits, attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from densitylab.worker.datasets.own_images import MAX_CLASSES, MAX_LINES, MAX_VALUES, SPLIT_NAMES, Attribute
from densitylab.worker.datasets.own_tables import text_of

_NUMBERED_SPLITS = {"0": "train", "1": "validation", "2": "test"}  # as in WILDS, Waterbirds and CelebA
Where = Callable[[int], str]  # returns where the value of an image is, for a message


def categories(name: str, cells: Sequence[Any], value_names: Sequence[str] | None = None) -> Attribute:
    """Return values as an attribute: numbers in their order, texts in that of the alphabet.

    −1 and 1, or false and true, are named "not NAME" and "NAME", other numbers "NAME 7", unless `value_names` names the
    numbers 0, 1, … or the values in their order.
    """
    texts = as_texts(cells)
    distinct = sorted(set(texts), key=_order)
    code = {text: index for index, text in enumerate(distinct)}
    return Attribute(
        name, value_texts(name, distinct, value_names), np.array([code[text] for text in texts], dtype=np.int64)
    )


def value_text(cell: Any) -> str:
    """Return a cell as text; a whole number that is written as 2.0 is 2."""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text_of(cell))


def as_texts(cells: Sequence[Any]) -> list[str]:
    """Return cells as texts, see `value_text`; each different cell is converted once."""
    try:
        known = {cell: value_text(cell) for cell in set(cells)}
    except TypeError:  # lists and objects of JSON
        return [value_text(cell) for cell in cells]
    return [known[cell] for cell in cells]


def distinct_texts(cells: Sequence[Any]) -> list[str]:
    """Return the different values as texts, in the order in which they come."""
    try:
        different: Sequence[Any] = list(dict.fromkeys(cells))
    except TypeError:
        different = cells
    return list(dict.fromkeys(value_text(cell) for cell in different))


def value_texts(name: str, distinct: Sequence[str], value_names: Sequence[str] | None = None) -> list[str]:
    """Return names for the sorted values of a column."""
    if value_names is not None:
        if len(value_names) == len(distinct):
            return list(value_names)
        if all(text.isdigit() and int(text) < len(value_names) for text in distinct):
            return [value_names[int(text)] for text in distinct]
    if distinct in (["-1", "1"], ["False", "True"]):
        return [f"not {name}", name]
    if all(number_of(text) is not None for text in distinct):
        return [f"{name} {text}" for text in distinct]
    return list(distinct)


def number_of(text: str) -> float | None:
    """Return the number that a text is; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def _order(text: str) -> tuple[bool, float, str]:
    number = number_of(text)
    return (number is None, number or 0.0, text)


def labels_of(
    column: str,
    cells: Sequence[Any],
    where: Where,
    problems: list[str],
    names: Sequence[str] | None = None,
    stated: Sequence[str] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Return (labels (N,), class names); what is wrong is added to `problems`.

    Args:
        column: of the labels.
        cells: class names or whole numbers.
        where: of each cell.
        problems: sentences.
        names: of the classes, in the order of the values.
        stated: names of the numbers 0, 1, …, in the file.
    """
    texts = as_texts(cells)
    for index, text in enumerate(texts):
        if not text:
            problems.append(f"{where(index)}: there is no label")
        elif (number := number_of(text)) is not None and not number.is_integer():
            problems.append(f"{where(index)}: expected a class name or a whole number, got {text}")
        if len(problems) > MAX_LINES:
            break
    classes = categories(column, cells, stated)
    distinct = sorted(set(texts), key=_order)
    if names is not None and len(names) != len(distinct):
        shown = ", ".join(distinct[:MAX_LINES])
        problems.append(f"expected a class name for each of {len(distinct)} labels ({shown}); got {len(names)}")
    if len(distinct) < 2:
        problems.append(f"expected at least two classes, got {', '.join(distinct) or 'none'} in {column}")
    if len(distinct) > MAX_CLASSES:
        problems.append(f"expected at most {MAX_CLASSES} classes, got {len(distinct):,} in {column}")
    if names is not None:
        return classes.codes, list(names)
    if stated is None and all(number_of(text) is not None for text in distinct) and distinct != ["-1", "1"]:
        return classes.codes, distinct  # numbers are names enough
    return classes.codes, classes.values


def splits_of(cells: Sequence[Any], where: Where, problems: list[str], meanings: Mapping[str, str]) -> list[str | None]:
    """Return the split of each image; what is wrong is added to `problems`.

    Args:
        cells: words, or 0, 1 and 2 for training, validation and test.
        where: of each cell.
        problems: sentences.
        meanings: the split that a value means, before the usual meanings.
    """
    texts = as_texts(cells)
    distinct = set(texts) - set(meanings)
    known: dict[str, str] = {**SPLIT_NAMES, **meanings}
    if distinct <= set(_NUMBERED_SPLITS) and distinct:
        if distinct == {"0", "1"}:
            problems.append(
                f"{where(0)}: the splits are 0 and 1 alone, where 0, 1 and 2 mean train, validation and test: say with "
                "split_values which split each is"
            )
            return [None] * len(texts)
        known |= _NUMBERED_SPLITS | dict(meanings)
    splits: list[str | None] = []
    for index, text in enumerate(texts):
        split = known.get(text) or known.get(text.casefold())
        if split is None:
            problems.append(
                f"{where(index)}: expected train, validation or test, got {text!r}"
                if text
                else f"{where(index)}: there is no split"
            )
        splits.append(split)
        if len(problems) > MAX_LINES:
            break
    return splits


def attribute_problem(name: str, cells: Sequence[Any], where: Where) -> str | None:
    """Return why values can't be an attribute, a sentence that names the first wrong one; None if they can."""
    kinds = distinct_texts(cells)
    if "" in kinds:
        return f"{where(as_texts(cells).index(''))}: there is no value"
    if len(kinds) < 2:
        return f"{name} is {kinds[0] if kinds else 'empty'} everywhere: an attribute needs at least two values"
    if len(kinds) > MAX_VALUES:
        return f"{name} has {len(kinds):,} different values, at most {MAX_VALUES} are an attribute"
    return None
