"""Runs as a CSV table: one row per run, with every part of its spec and all its results."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Origin, csv_cell
from densitylab.backend.shared.contracts.origins import KNOWN_ELSEWHERE
from densitylab.backend.shared.store import run_listing

FIRST = ("id", "experiment", "status", "notes", "tags", "archived")  # columns
_CHUNK = 500


def table(session: Session, run_ids: list[int]) -> str:
    """Return CSV with one header. Columns are dotted paths into a run; a missing value is an empty cell."""
    rows = list(cells(session, run_ids))
    columns = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell(_text(name, row.get(name))) for name in columns] for row in rows)
    return text.getvalue()


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
