"""Runs as a CSV table: a row for each, with every part of its spec and all its figures."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from backend.shared.store import run_listing

_CHUNK = 500
_FIRST = ("id", "experiment", "status", "notes", "tags", "archived")


def table(session: Session, run_ids: list[int]) -> str:
    """CSV with one header. A column is a dotted path into a run; a run that has nothing there has an empty cell."""
    rows = [
        dict(_cells(run))
        for start in range(0, len(run_ids), _CHUNK)
        for run in json.loads(run_listing.read_json(session, run_ids[start:start + _CHUNK]))
    ]
    columns = list(dict.fromkeys([*_FIRST, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cells(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _cells(inner, f"{path}.{name}" if path else name)
    elif path == "tags":
        yield path, " ".join(value)
    elif isinstance(value, list):
        yield path, json.dumps(value, ensure_ascii=False) if value else ""
    else:
        yield path, "" if value is None else value
