"""Runs, results and curves as Parquet and Arrow files. Importing this needs pyarrow, of the extra `parquet`."""

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any, Literal, get_args

import pyarrow
import pyarrow.parquet
from sqlalchemy.orm import Session

from densitylab.backend.services import runs_csv
from densitylab.backend.shared.contracts import Run, RunSpec
from densitylab.backend.shared.store import metrics, run_listing

_RUNS_AT_ONCE = 200
_WRITERS = {"parquet": pyarrow.parquet.ParquetWriter, "arrow": pyarrow.ipc.new_file}
_TEXT, _INTEGER, _NUMBER = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
_RESULT = pyarrow.schema(
    [
        ("run", _INTEGER),
        ("evaluation", _TEXT),
        ("name", _TEXT),
        ("value", _NUMBER),
        ("low", _NUMBER),
        ("high", _NUMBER),
        ("n", _INTEGER),
    ]
)
_POINT = pyarrow.schema(
    [
        ("run", _INTEGER),
        ("name", _TEXT),
        ("step", _INTEGER),
        ("epoch", _NUMBER),
        ("value", _NUMBER),
        ("seconds", _NUMBER),
    ]
)
_TYPES: dict[Any, Any] = {
    bool: pyarrow.bool_(),
    int: _INTEGER,
    float: _NUMBER,
    str: _TEXT,
    datetime: pyarrow.timestamp("us", "UTC"),
    list[str]: pyarrow.list_(_TEXT),
}
_FIELDS = Run.model_fields | {f"spec.{name}": field for name, field in RunSpec.model_fields.items()}


def write(
    session: Session,
    run_ids: list[int],
    table: Literal["runs", "results", "curves"],
    form: Literal["parquet", "arrow"],
    file: IO[bytes],
) -> None:
    """Write a table of these runs, in their order: a row per run, per result, or per point of a curve.

    `runs` has the columns of the CSV file in their own types. The other tables are read and written in parts.
    """
    parts = {"runs": _runs, "results": _results, "curves": _curves}[table](session, run_ids)
    first = next(parts)
    with _WRITERS[form](file, first.schema) as writer:
        for part in itertools.chain([first], parts):
            writer.write_table(part)


def _runs(session: Session, run_ids: list[int]) -> Iterator[Any]:
    rows = list(runs_csv.cells(session, run_ids))
    columns = dict.fromkeys([*runs_csv.FIRST, *(name for row in rows for name in row)])
    yield pyarrow.table({name: column(name, [row.get(name) for row in rows]) for name in columns})


def column(name: str, values: list[Any]) -> Any:
    """Return a column of the runs as an array. Lists of objects are JSON, and values of several types are text."""
    kind = _declared(name)
    if kind == _TYPES[datetime]:
        values = [None if value is None else datetime.fromisoformat(value) for value in values]
    elif kind is None and any(isinstance(value, list) for value in values):
        return _as_text(values)
    try:
        return pyarrow.array(values, kind)
    except (pyarrow.ArrowException, OverflowError):
        return _as_text(values)


def _declared(name: str) -> Any:
    """Return the type of a column if its field has one; None: that of its values."""
    annotation = _FIELDS[name].annotation if name in _FIELDS else None
    return next((_TYPES[kind] for kind in (annotation, *get_args(annotation)) if kind in _TYPES), None)


def _as_text(values: list[Any]) -> Any:
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values
    ]
    return pyarrow.array(texts, _TEXT)


def _results(session: Session, run_ids: list[int]) -> Iterator[Any]:
    yield _RESULT.empty_table()
    for start in range(0, len(run_ids), _RUNS_AT_ONCE):
        rows = []
        for run_id, results in run_listing.results(session, run_ids[start : start + _RUNS_AT_ONCE]):
            for name, value in results.items():
                evaluation, _, short = name.partition(".")
                rows.append({**value, "run": run_id, "evaluation": evaluation, "name": short})
        yield pyarrow.Table.from_pylist(rows, _RESULT)


def _curves(session: Session, run_ids: list[int]) -> Iterator[Any]:
    yield _POINT.empty_table()
    for run_id in run_ids:
        columns = list(zip(*metrics.rows(session, run_id), strict=True))
        if columns:
            yield pyarrow.table([pyarrow.repeat(run_id, len(columns[0])), *columns], _POINT)
