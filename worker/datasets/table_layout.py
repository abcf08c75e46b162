"""Images that a table names: file, label, split, attributes, group and mask on a line for each."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np

from densitylab.worker.datasets.image_layout import litter
from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.own_columns import recognised
from densitylab.worker.datasets.own_groups import groups_of
from densitylab.worker.datasets.own_images import (
    MAX_LINES,
    MAX_VALUES,
    SPLIT_NAMES,
    Attribute,
    Masks,
    OwnImages,
    ReadOptions,
    Report,
    counted_names,
    require_none,
)
from densitylab.worker.datasets.own_tables import Table, text_of
from densitylab.worker.datasets.own_values import Where, categories, labels_of, splits_of


def read_table_images(
    tree: Tree, table: Table, suffixes: tuple[str, ...], options: ReadOptions, report: Report
) -> OwnImages:
    """Return the images that a table names or contains.

    Args:
        tree: has the images, and the masks; below the table's folder, or elsewhere if each name is the end of one path.
        table: a row for each image. Without a column of labels or splits, these are the images' folders.
        suffixes: endings of images.
        options: what should not be recognised.
        report: gets the columns.

    Raises:
        BadFolder: a row or a file is wrong; the message names line and column.
    """
    report.layout = "table"
    given = dict(options.columns)
    if table.images is not None and given.get("image") is None:
        given["image"] = table.images
    problems: list[str] = []

    def where(column: str) -> Where:
        return lambda row: table.where(row, column)

    cells = table.cells
    roles, attributes = recognised(table.columns, cells, given, where, table.name, problems, report)
    if roles.image is None:
        require_none([f"{table.name} has no column with the images' files: name it (image)"])
    if table.read is not None and roles.image == table.images:
        files: Sequence[str] = [table.where(row) for row in range(len(table))]
        read, used = table.read, set[str]()
    else:
        finder = _Files(tree, table, suffixes)
        files = finder.find_all(roles.image or "", problems, once=True)
        used = set(files)
        read = _reader(tree, files)
    require_none(problems)
    if roles.label is None:
        labels, class_names = _folder_labels(table, files, problems)
        require_none(problems)
    else:
        labels, class_names = labels_of(
            roles.label,
            cells[roles.label],
            where(roles.label),
            problems,
            options.class_names,
            table.value_names.get(roles.label),
        )
    if roles.split is None:
        splits: Sequence[str | None] = _folder_splits(files)
    else:
        splits = splits_of(cells[roles.split], where(roles.split), problems, options.split_values)
    require_none(problems)
    problems += missing_classes(labels, class_names, splits)
    masks = None
    if roles.mask is not None:
        mask_files = _Files(tree, table, suffixes).find_all(roles.mask, problems, once=False)
        used |= set(mask_files)
        masks = Masks(mask_files, _reader(tree, mask_files))
    named = [categories(name, cells[name], table.value_names.get(name)) for name in attributes]
    group = None
    if roles.group is not None:
        group = _group(roles.group, table, problems)
        named += [group] if group is not None and len(group.values) <= MAX_VALUES else []
    require_none(problems)
    if table.read is None:
        pictures = [name for name in tree.names if PurePosixPath(name).suffix.lower() in suffixes and not litter(name)]
        report.passed_over += [name for name in pictures if name not in used]
    return OwnImages(
        files=files,
        read=read,
        labels=labels,
        class_names=class_names,
        splits=splits,
        attributes=named,
        groups=groups_of(labels, class_names, named, group, options.group_by),
        masks=masks,
        notes=list(counted_names(f"Images that {table.name} does not name, passed over", report.passed_over)),
    )


def missing_classes(labels: np.ndarray, class_names: Sequence[str], splits: Sequence[str | None]) -> list[str]:
    """Return a sentence for each class without an image in a split."""
    present = defaultdict(set)
    for label, split in zip(labels, splits, strict=True):
        present[split].add(int(label))
    return [
        f"the class {name} has no image in {split}"
        for split, labels_there in sorted(present.items(), key=lambda item: item[0] or "")
        if split is not None
        for label, name in enumerate(class_names)
        if label not in labels_there
    ]


def _reader(tree: Tree, files: Sequence[str]) -> Callable[[int], bytes]:
    return lambda index: tree.read(files[index])


def _group(column: str, table: Table, problems: list[str]) -> Attribute | None:
    texts = [text_of(cell) for cell in table.cells[column]]
    for row, text in enumerate(texts):
        if not text:
            problems.append(f"{table.where(row, column)}: there is no group")
        if len(problems) > MAX_LINES:
            return None
    kinds = len(set(texts))
    if kinds < 2:
        problems.append(f"the column {column} of {table.name} has one group: expected at least two, or no such column")
    return categories(column, table.cells[column], table.value_names.get(column))


def _folder_labels(table: Table, files: Sequence[str], problems: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the labels that the images' folders say."""
    folders = [PurePosixPath(file).parent.name for file in files]
    kinds = sorted(set(folders))
    if len(kinds) < 2 or any(kind.lower() in SPLIT_NAMES for kind in kinds):
        problems.append(
            f"{table.name} has no column that is recognised as the label: name it (label), one of "
            f"{', '.join(table.columns)}"
        )
        return np.zeros(0, np.int64), []
    return labels_of("the folders", folders, lambda row: table.where(row), problems)


def _folder_splits(files: Sequence[str]) -> list[str | None]:
    """Return the splits that the images' folders say; none where they do not for all, or none is training."""
    splits = [
        next((SPLIT_NAMES[part.lower()] for part in file.split("/")[:-1] if part.lower() in SPLIT_NAMES), None)
        for file in files
    ]
    return splits if None not in splits and "train" in splits else [None] * len(splits)


class _Files:
    """Find the files that the cells of a table name."""

    def __init__(self, tree: Tree, table: Table, suffixes: tuple[str, ...]) -> None:
        self._tree, self._table, self._suffixes = tree, table, suffixes
        self._exact = set(tree.names)
        self._by_end: dict[str, list[str]] = defaultdict(list)
        for name in tree.names:
            if not litter(name) and PurePosixPath(name).suffix.lower() in suffixes:
                self._by_end[name.rpartition("/")[2].casefold()].append(name)
                self._by_end[_stem(name.rpartition("/")[2].casefold())].append(name)
        self._folder = table.name.rpartition("/")[0]

    def find_all(self, column: str, problems: list[str], *, once: bool) -> list[str]:
        """Return the file of each row; what is wrong is added to `problems`.

        Args:
            column: with the files' names.
            problems: sentences.
            once: whether a file may be named only once.
        """
        files: list[str] = []
        first_row: dict[str, int] = {}
        for row, cell in enumerate(self._table.cells[column]):
            where = self._table.where(row, column)
            file, problem = self._find(text_of(cell))
            if problem is None and once and first_row.setdefault(file, row) != row:
                line = f"{self._table.line} {self._table.lines[first_row[file]]}"
                problem = f"{file} is listed already in {line}"
            if problem is not None:
                problems.append(f"{where}: {problem}")
                if len(problems) > MAX_LINES:
                    break
            files.append(file)
        return files

    def _find(self, text: str) -> tuple[str, str | None]:
        """Return (file, None), or (text, what is wrong)."""
        path = text.replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts:
            return text, "there is no file name"
        if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:/", path):
            return text, f"{text!r} is an absolute path: expected one relative to the folder of the table"
        if ".." in parts:
            return text, f"{text!r} leads out of the folder: expected a path without .."
        relative = "/".join(parts)
        for name in (f"{self._folder}/{relative}" if self._folder else relative, relative):
            if name in self._exact:
                return name, self._suffix_problem(name)
            blocked = self._problem_at(name)
            if blocked is not None:
                return text, blocked
        candidates = [
            name
            for name in self._by_end.get(parts[-1].casefold(), [])
            if f"/{name}".casefold().endswith(f"/{relative}".casefold())
            or f"/{_stem(name)}".casefold().endswith(f"/{relative}".casefold())
        ]
        if len(candidates) == 1:
            return candidates[0], None
        if candidates:
            return text, f"{text!r} is the name of {len(candidates)} files, such as {candidates[0]} and {candidates[1]}"
        return text, f"there is no image {text!r}"

    def _suffix_problem(self, name: str) -> str | None:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in self._suffixes:
            return None
        return f"{name} is not an image of a kind that is read; expected {', '.join(self._suffixes)}"

    def _problem_at(self, name: str) -> str | None:
        """Return why the tree can't read a file, or a folder that contains it."""
        problems = self._tree.problems
        parts = name.split("/")
        above = ("/".join(parts[: count + 1]) for count in range(len(parts)))
        return next((problems[path] for path in above if path in problems), None)


def _stem(name: str) -> str:
    return re.sub(r"\.[^./]*$", "", name)


def names_files(tree: Tree, table: Table, column: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether one of the first cells of a column names an image, right or wrong, as told by its ending."""
    endings = Counter(PurePosixPath(text_of(cell)).suffix.lower() for cell in table.cells[column][:20])
    if any(suffix in endings for suffix in suffixes):
        return True
    stems = {_stem(name.rpartition("/")[2]) for name in tree.names}
    return any(text_of(cell) in stems for cell in table.cells[column][:20])
