"""A user's own images in the forms that people have, the first that fits:

    pattern                                            images whose names say label, split and attributes
    images.npy labels.npy, or one .npz                 arrays
    data/train-00000.parquet                           tables that contain the images (Parquet, Arrow)
    metadata.csv beside the images                     a table of files, labels, splits, attributes, masks
    cats/1.jpg dogs/2.jpg                              one folder for each class: random splits, 20 % for testing and
                                                       10 % for validation
    train/cats/1.jpg test/cats/2.jpg                   given splits, in any case; missing ones are drawn from train
                                                       ("Training", "val", "valid", "dev", "Testing" are understood)
    groups.csv   with the columns file and group       beside class folders, optional: the group of every image
    masks/cats/1.png                                   beside class folders, optional: of every image, white (or not 0)
                                                       on the object

A single folder around all of that is skipped, and files that are no images are passed over and counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath

from densitylab.worker.datasets import own_parquet
from densitylab.worker.datasets.array_layout import is_array, read_arrays
from densitylab.worker.datasets.class_folders import read_class_folders
from densitylab.worker.datasets.image_layout import is_groups_csv, litter
from densitylab.worker.datasets.image_source import MAX_FILE_BYTES, BadTree, Tree
from densitylab.worker.datasets.own_columns import recognise
from densitylab.worker.datasets.own_images import SPLIT_NAMES, BadFolder, OwnImages, ReadOptions, Report, require_none
from densitylab.worker.datasets.own_tables import TEXT_SUFFIXES, Table, joined, read_text_table, stacked, text_of
from densitylab.worker.datasets.pattern_layout import read_pattern
from densitylab.worker.datasets.table_layout import names_files, read_table_images


def read(tree: Tree, suffixes: tuple[str, ...], options: ReadOptions, report: Report) -> OwnImages:
    """Return the images of a tree, sorted but not decoded.

    Args:
        tree: the files.
        suffixes: endings of images.
        options: what should not be recognised.
        report: gets what was recognised.

    Raises:
        BadFolder, BadTree: they are not a data set; the message says what is wrong and where.
    """
    if options.pattern is not None:
        return read_pattern(tree, suffixes, options, report)
    names = [name for name in tree.names if not litter(name)]
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in suffixes]
    if options.table is None and not pictures and any(map(is_array, names)):
        return read_arrays(tree, options, report)
    unread: list[str] = []
    table = _table(tree, names, pictures, suffixes, options, unread)
    if table is not None:
        return read_table_images(tree, table, suffixes, options, report)
    if any(options.columns.values()):
        raise BadFolder("columns are named, but there is no table whose columns they could be")
    try:
        own = read_class_folders(tree, suffixes, report)
    except BadFolder:
        require_none(unread)  # rather the table was meant
        raise
    return replace(own, notes=[*own.notes, *(f"Passed over: {reason}." for reason in unread)])


def _table(
    tree: Tree,
    names: Sequence[str],
    pictures: Sequence[str],
    suffixes: tuple[str, ...],
    options: ReadOptions,
    unread: list[str],
) -> Table | None:
    """Return the table that the user names, or one that is recognised; None for none. Why others can't be read is added
    to `unread`."""
    tables = [name for name in names if is_table(name)]
    if options.table is not None:
        wanted = options.table.strip("/")
        found = [name for name in tables if name == wanted or name.endswith(f"/{wanted}")]
        if len(found) != 1:
            which = "no table" if not found else f"{len(found)} tables"
            raise BadFolder(f"there is {which} {wanted!r}: expected one of {', '.join(tables[:20]) or 'none'}")
        return _opened(tree, found[0])
    columnar = [name for name in tables if PurePosixPath(name).suffix.lower() in own_parquet.SUFFIXES]
    if columnar and not pictures:
        return _containing(tree, columnar)
    fitting = []
    for name in tables:
        try:
            table = _opened(tree, name)
        except BadTree as error:  # of a table that may not be about the images, such as a log
            lines = str(error).splitlines()
            if PurePosixPath(name).suffix.lower() != ".txt":  # which mostly is prose
                unread += lines[1:] or lines
        else:
            column = recognise(table.columns, _for_table(options, table), table.name).image
            if column is not None and (table.read or names_files(tree, table, column, suffixes)):
                fitting.append((table, column))
    if not fitting and any(options.columns.values()) and len(tables) == 1:
        return _opened(tree, tables[0])
    if not fitting:
        return None
    column_of = {table.name: column for table, column in fitting}
    found_tables = [table for table, _ in fitting]
    if len({table.name.rpartition("/")[0] for table in found_tables}) == len(found_tables) > 1:
        return stacked([_with_folder(table, column_of[table.name]) for table in found_tables])
    found_tables.sort(key=lambda table: -len(table.columns))
    return joined(found_tables, lambda table: column_of[table.name])


def _for_table(options: ReadOptions, table: Table) -> dict[str, object]:
    """Return the columns that the user names, without those that a further table has."""
    return {role: column for role, column in options.columns.items() if role == "image" and column in table.columns}


def is_table(name: str) -> bool:
    """Return whether a file may be a table of images."""
    return PurePosixPath(name).suffix.lower() in (*TEXT_SUFFIXES, *own_parquet.SUFFIXES) and not is_groups_csv(name)


def _opened(tree: Tree, name: str) -> Table:
    if PurePosixPath(name).suffix.lower() in own_parquet.SUFFIXES:
        return own_parquet.read_columnar(tree, name)
    return read_text_table(name, tree.read(name))


def _with_folder(table: Table, column: str) -> Table:
    """Return the table with files relative to the tree."""
    folder = table.name.rpartition("/")[0]
    if not folder:
        return table
    inside = [f"{folder}/{text_of(cell)}" if text_of(cell) else "" for cell in table.cells[column]]
    return replace(table, cells={**table.cells, column: inside})


def _containing(tree: Tree, names: Sequence[str]) -> Table:
    """Return the files of a data set that contain its images as one table, with the split that each file's name says.

    Raises BadFolder.
    """
    tables = [own_parquet.read_columnar(tree, name) for name in names]
    without = next((table for table in tables if table.read is None), None)
    if without is not None:
        raise BadFolder(
            f"{without.name} contains no images, and there are none beside it: expected a column of encoded images "
            f"among {', '.join(without.columns)}"
        )
    splits = [SPLIT_NAMES.get(own_parquet.split_of_file(name)) for name in names]
    if "split" not in tables[0].columns and None not in splits and len(set(splits)) > 1:
        tables = [
            replace(table, columns=[*table.columns, "split"], cells={**table.cells, "split": [split] * len(table)})
            for table, split in zip(tables, splits, strict=True)
        ]
    whole = stacked(tables)
    rows = [(table, row) for table in tables for row in range(len(table))]

    def read_row(index: int) -> bytes:
        table, row = rows[index]
        assert table.read is not None
        return table.read(row)

    return replace(
        whole,
        read=read_row,
        images=tables[0].images,
        value_names={**_dataset_info(tree), **whole.value_names},
    )


def _dataset_info(tree: Tree) -> dict[str, list[str]]:
    """Return the class names in the dataset_info.json that the package datasets saves beside Arrow files."""
    for name in tree.names:
        if PurePosixPath(name).name == "dataset_info.json":
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                content = json.loads(tree.read(name)[:MAX_FILE_BYTES])
                return own_parquet.class_names_of(content["features"])
    return {}
