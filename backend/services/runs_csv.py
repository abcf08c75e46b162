"""Runs as a CSV table: one row per run, with every part of its spec and all its results."""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Origin, csv_cell
from densitylab.backend.shared.contracts.origins import KNOWN_ELSEWHERE
from densitylab.backend.shared.store import run_listing

FIRST = ("id", "experiment", "name", "status", "notes", "tags", "archived")  # columns
_CHUNK = 500  # runs
_IN_MEMORY = 2**24  # bytes; larger tables lie in the temporary folder until they are sent
_END = b"\r\n"


def parts(session: Session, run_ids: list[int]) -> Iterator[bytes]:
    """Read the runs, and return CSV with one header in parts. Columns are dotted paths into a
    run; a missing value is an empty cell.

    The header needs the columns of all runs. They are appended as they are found, so that a row which is written before
    others are known lacks some at its end only.
    """
    columns = dict.fromkeys(FIRST)
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when it is sent
    widths: list[tuple[int, int]] = []  # of each run's row: bytes without the line's end, and columns
    for row in cells(session, run_ids):
        columns |= dict.fromkeys(row)
        line = _line(_text(name, row.get(name)) for name in columns)
        file.write(line)
        widths.append((len(line), len(columns)))
    return _parts(file, list(columns), widths)


def _parts(file: IO[bytes], columns: list[str], widths: list[tuple[int, int]]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        yield _line(columns) + _END
        for start in range(0, len(widths), _CHUNK):
            rows = widths[start : start + _CHUNK]
            yield b"".join([file.read(size) + b"," * (len(columns) - width) + _END for size, width in rows])


def _line(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(map(csv_cell, values))
    return text.getvalue().encode().removesuffix(_END)


def cells(session: Session, run_ids: list[int]) -> Iterator[dict[str, Any]]:
    """Yield each run's values that are no objects, by their dotted paths; of a model that was trained elsewhere without
    the settings of its training."""
    for start in range(0, len(run_ids), _CHUNK):
        for run in json.loads(run_listing.read_json(session, run_ids[start : start + _CHUNK])):
            if run["origin"] != Origin.TRAINED:
                run["spec"] = {name: value for name, value in run["spec"].items() if name in KNOWN_ELSEWHERE}
            yield dict(_flat(run))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def _text(path: str, value: Any) -> Any:
    if isinstance(value, list):
        if path == "tags":
            return " ".join(value)
        return json.dumps(value, ensure_ascii=False) if value else ""
    return "" if value is None else value
