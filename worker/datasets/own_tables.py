"""Tables beside a user's images: CSV, TSV and JSON lines, as spreadsheets and scripts save them."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from densitylab.worker.datasets.groups_csv import decoded_text
from densitylab.worker.datasets.own_images import BadFolder, require_none

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
MAX_ROWS = 2_000_000
MAX_COLUMNS = 1000
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Args:
        name: of its file, for messages.
        columns: their names, each once.
        cells: by column, a text, number, boolean or None for each row.
        lines: the number of each row's line in the file.
        line: what such a number is called, "line" or "row".
        value_names: names of the numbers of a column, where the file states them.
        read: returns a row's encoded image, of a table that contains its images.
        images: name of the column that contains them.
        files: the file of each row, where the table is made of several; None: `name`.
    """

    name: str
    columns: list[str]
    cells: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    line: str = "line"
    value_names: dict[str, list[str]] = field(default_factory=dict)
    read: Callable[[int], bytes] | None = None
    images: str | None = None
    files: Sequence[str] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def where(self, row: int, column: str | None = None) -> str:
        """Return where a cell is, for a message."""
        name = self.name if self.files is None else self.files[row]
        return f"{name}, {self.line} {self.lines[row]}" + (f", column {column}" if column is not None else "")


def text_of(cell: Any) -> str:
    """Return a cell as text; "" for an empty one. A whole number is the same as int and as float."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return unicodedata.normalize("NFC", str(cell)).strip()


def read_text_table(name: str, content: bytes) -> Table:
    """Return a table in CSV, TSV, white space or JSON lines.

    Args:
        name: of the file; its ending decides between JSON lines and separated values.
        content: of the file, in UTF-8, UTF-16 or Windows-1252.

    Raises:
        BadFolder: it can't be read; the message names the line.
    """
    text = decoded_text(content).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if PurePosixPath(name).suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(name, text)
    return _separated(name, text.split("\n"))


def _separated(name: str, lines: list[str]) -> Table:
    start = next((index for index, line in enumerate(lines) if line.strip() and not line.startswith("sep=")), None)
    if start is None:
        raise BadFolder(f"{name} is empty: expected a line with the names of its columns, and a line for each image")
    if PurePosixPath(name).suffix.lower() == ".txt":
        rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
        header, rows = _header_of_white_space(rows)
    else:
        delimiter = max(_DELIMITERS, key=lambda mark: len(next(csv.reader([lines[start]], delimiter=mark))))
        rows = _csv_rows(name, lines[start:], start, delimiter)
        (_, header), rows = rows[0], rows[1:]
    header = [_column_name(cell, index) for index, cell in enumerate(header)]
    problems = _problems_of_columns(name, header)
    for number, cells in rows:
        if len(cells) != len(header):
            problems.append(
                f"{name}, line {number} has {len(cells)} cells, expected {len(header)} as in its first line"
            )
    require_none(problems)
    if not rows:
        raise BadFolder(f"{name} has no line below the names of its columns: expected one for each image")
    of_column = {column: [row[index].strip() for _, row in rows] for index, column in enumerate(header)}
    return Table(name, header, of_column, [number for number, _ in rows])


def _csv_rows(name: str, lines: list[str], start: int, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return (number of the line, cells) of each line that is not empty. Raises BadFolder."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, skipinitialspace=True)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((start + reader.line_num, [unicodedata.normalize("NFC", cell) for cell in cells]))
            if len(rows) > MAX_ROWS + 1:
                raise BadFolder(f"{name} has more than {MAX_ROWS:,} lines")
    except csv.Error as error:
        raise BadFolder(f"{name}, line {start + reader.line_num}, can't be read: {error}") from None
    return rows


def _header_of_white_space(rows: list[tuple[int, list[str]]]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns and the rows of a table as CelebA's lists: the number of images in a line of its
    own, and a header without the file's column; both may be missing."""
    if len(rows) > 1 and len(rows[0][1]) == 1 and rows[0][1][0].isdigit():
        rows = rows[1:]
    first, second = rows[0][1], rows[1][1] if len(rows) > 1 else rows[0][1]
    if len(second) == len(first) + 1:
        return ["file", *first], rows[1:]
    if len(first) == 2 and first[1].isdigit():
        return ["file", "partition"], rows
    return first, rows[1:]


def _json_lines(name: str, text: str) -> Table:
    columns: dict[str, None] = {}
    rows, lines, problems = [], [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, _Repeated) else "it is not a JSON object"
            problems.append(f"{name}, line {number}, can't be read: {reason}")
            continue
        if not isinstance(row, dict):
            problems.append(f"{name}, line {number}, can't be read: expected an object, got {type(row).__name__}")
            continue
        columns.update(dict.fromkeys(row))
        rows.append(row)
        lines.append(number)
    problems += _problems_of_columns(name, list(columns))
    require_none(problems)
    if not rows:
        raise BadFolder(f"{name} is empty: expected a JSON object on a line for each image")
    cells = {column: [row.get(column) for row in rows] for column in columns}
    return Table(name, list(columns), cells, lines)


class _Repeated(ValueError):
    """Raised for an object that has a name twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise _Repeated(f"{twice[0]!r} is there twice")
    return dict(pairs)


def _column_name(cell: str, index: int) -> str:
    return unicodedata.normalize("NFC", cell).strip() or f"(column {index + 1})"


def _problems_of_columns(name: str, columns: list[str]) -> list[str]:
    places: dict[str, list[int]] = {}
    for number, column in enumerate(columns, 1):
        places.setdefault(column, []).append(number)
    problems = [
        f"{name} has several columns called {column!r}, the {' and '.join(f'{place}.' for place in numbers)}: "
        "rename or remove one"
        for column, numbers in places.items()
        if len(numbers) > 1
    ]
    if len(columns) > MAX_COLUMNS:
        problems.append(f"{name} has {len(columns):,} columns, expected at most {MAX_COLUMNS:,}")
    return problems


def stacked(tables: Sequence[Table]) -> Table:
    """Return one table with the rows of all, in their order."""
    if len(tables) == 1:
        return tables[0]
    columns = list(dict.fromkeys(column for table in tables for column in table.columns))
    return Table(
        " and ".join(table.name for table in tables[:2]) + (" …" if len(tables) > 2 else ""),
        columns,
        {
            column: [cell for item in tables for cell in item.cells.get(column, [None] * len(item))]
            for column in columns
        },
        [line for table in tables for line in table.lines],
        tables[0].line,
        {column: names for table in tables for column, names in table.value_names.items()},
        files=[table.name for table in tables for _ in table.lines],
    )


def joined(tables: Sequence[Table], key: Callable[[Table], str | None]) -> Table:
    """Return one table with the columns of all, whose rows belong together where they name the same file.

    Args:
        tables: the first has the rows, the others further columns of them.
        key: returns the column of a table that names the files.

    Raises:
        BadFolder: a column is in two tables, or a file of the first is not in another.
    """
    first, *others = tables
    of_first = key(first)
    cells = dict(first.cells)
    problems: list[str] = []
    for other in others:
        of_other = key(other)
        if of_first is None or of_other is None:
            continue
        row_of = {text_of(cell): row for row, cell in enumerate(other.cells[of_other])}
        files = [text_of(cell) for cell in first.cells[of_first]]
        missing = [row for row, file in enumerate(files) if file not in row_of]
        if missing:
            problems += [
                f"{other.name} has no line for {files[row]}, which {first.where(row)} names" for row in missing
            ]
            continue
        for column in other.columns:
            if column == of_other:
                continue
            if column in cells:
                problems.append(f"the column {column!r} is both in {first.name} and in {other.name}: name one table")
            cells[column] = [other.cells[column][row_of[file]] for file in files]
    require_none(problems)
    return Table(first.name, list(cells), cells, first.lines, first.line, first.value_names)
