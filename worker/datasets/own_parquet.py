"""Tables in Parquet and Arrow files, with names of images or with the images themselves, as Hugging Face saves them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from densitylab.worker.datasets.image_source import MAX_FILE_BYTES, BadTree, Tree, scratch_file
from densitylab.worker.datasets.own_images import BadFolder
from densitylab.worker.datasets.own_tables import MAX_ROWS, Table

SUFFIXES = (".parquet", ".arrow")


def read_columnar(tree: Tree, name: str) -> Table:
    """Return the table of a Parquet file, or of an Arrow file (stream or file format).

    Images in it, encoded as bytes or as {bytes, path}, are read when they are asked for. Columns of other structures
    are left out.

    Raises:
        BadFolder: it can't be read, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise BadFolder(
            f"{name} needs the package pyarrow on the workers: install densitylab[parquet], or save the table as CSV"
        ) from None
    try:
        file = _parquet(tree.open(name)) if name.lower().endswith(".parquet") else _arrow(tree.open(name))
        return _table(tree, name, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, BadTree):
            raise
        raise BadFolder(f"{name} can't be read: {str(error).splitlines()[0][:200] if str(error) else error}") from None


@dataclass(frozen=True)
class _File:
    """An opened file: its schema, its number of rows, the rows of each block, and a block's column."""

    schema: Any
    rows: int
    blocks: Sequence[int]
    column: Callable[[int, str], Any]


def _parquet(file: IO[bytes]) -> _File:
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    metadata = opened.metadata
    blocks = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    return _File(
        opened.schema_arrow,
        metadata.num_rows,
        blocks,
        lambda block, name: opened.read_row_group(block, columns=[name]).column(0).combine_chunks(),
    )


def _arrow(file: IO[bytes]) -> _File:
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(file).read_all()
    except pa.ArrowInvalid:
        file.seek(0)
        table = pa.ipc.open_file(file).read_all()
    batches = table.to_batches()
    return _File(
        table.schema, table.num_rows, [len(batch) for batch in batches], lambda block, name: batches[block].column(name)
    )


def _table(tree: Tree, name: str, file: _File) -> Table:
    import pyarrow as pa

    if file.rows > MAX_ROWS:
        raise BadFolder(f"{name} has {file.rows:,} rows, expected at most {MAX_ROWS:,}")
    if file.rows == 0:
        raise BadFolder(f"{name} has no row: expected one for each image")
    twice = next((column for column in file.schema.names if file.schema.names.count(column) > 1), None)
    if twice is not None:
        raise BadFolder(f"{name} has several columns called {twice!r}: rename or remove one")
    images, others = None, []
    cells: dict[str, Sequence[Any]] = {}
    for column in file.schema:
        kind = column.type
        if _encoded(kind):
            if images is None or column.name == "image":
                images = column.name
        elif pa.types.is_nested(kind) and column.name.lower() in ("image", "img", "images", "pixels"):
            raise BadFolder(
                f"{name}, column {column.name}: expected encoded images (bytes, or a struct of bytes and path) or file "
                f"names, got {kind}"
            )
        elif not pa.types.is_nested(kind) and not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind):
            others.append(column.name)
    for other in others:
        values: list[Any] = []
        for block in range(len(file.blocks)):
            values += file.column(block, other).to_pylist()
        cells[other] = values
    columns = [column for column in file.schema.names if column in cells or column == images]
    read = None if images is None else _Images(tree, name, file, images).read
    if images is not None:
        cells[images] = range(file.rows)
    return Table(
        name, columns, cells, range(1, file.rows + 1), "row", _value_names(file.schema.metadata or {}), read, images
    )


def _encoded(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _encoded(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _value_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of numbered classes by column, from the metadata that the package datasets writes."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return class_names_of(json.loads(metadata[b"huggingface"])["info"]["features"])
    return {}


def class_names_of(features: dict[str, Any]) -> dict[str, list[str]]:
    """Return the names of numbered classes by column, from the features of a Hugging Face data set."""
    return {
        name: [str(item) for item in feature["names"]]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }


class _Images:
    """The images of a column, read block by block and kept in a file on the disk, so that any order is fast."""

    def __init__(self, tree: Tree, name: str, file: _File, column: str) -> None:
        self._name, self._file, self._column = name, file, column
        self._kept = scratch_file(tree)
        self._places: dict[int, tuple[int, int]] = {}
        self._starts = [sum(file.blocks[:index]) for index in range(len(file.blocks))]
        self._block: tuple[int, Any] = (-1, None)

    def read(self, row: int) -> bytes:
        """Return an encoded image. Raises BadTree."""
        if row in self._places:
            start, size = self._places[row]
            self._kept.seek(start)
            return self._kept.read(size)
        content = self._of_block(row)
        where = f"{self._name}, row {row + 1}, column {self._column}"
        if not isinstance(content, bytes) or not content:
            raise BadTree(f"{where}: there is no image")
        if len(content) > MAX_FILE_BYTES:
            raise BadTree(f"{where}: the image is larger than {MAX_FILE_BYTES // 2**20} MiB")
        start = self._kept.seek(0, 2)
        self._kept.write(content)
        self._places[row] = start, len(content)
        return content

    def _of_block(self, row: int) -> Any:
        number = next(index for index in reversed(range(len(self._starts))) if self._starts[index] <= row)
        if self._block[0] != number:
            self._block = (-1, None)  # one block in memory at a time
            self._block = number, self._file.column(number, self._column)
        value = self._block[1][row - self._starts[number]].as_py()
        return value.get("bytes") if isinstance(value, dict) else value


def split_of_file(name: str) -> str:
    """Return the part of a Parquet or Arrow file's path that may name a split: data/train-00000-of-00001 → train."""
    path = PurePosixPath(name)
    stem = path.stem.lower().split("-")[0].split("_")[0].split(".")[0]
    return path.parent.name.lower() if stem in ("data", "part", "dataset", "cache") or stem.isdigit() else stem
