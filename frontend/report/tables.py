"""The tables of a report as text."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from densitylab.backend.shared.statistics.groups import flatten
from densitylab.frontend.analysis.comparison import all_runs, short_label
from densitylab.frontend.analysis.formatting import number, status_text
from densitylab.frontend.client.durations import duration
from densitylab.frontend.report.evidence import Evidence

PAGE_CHARACTERS = 150  # of a landscape page
_HASH = 12  # characters
PADDING, MAX_LINE = 2, 22  # characters of a cell: beside its text, and of a text that breaks


@dataclass(frozen=True)
class Table:
    """The cells of a table as text."""

    columns: list[str]
    rows: list[list[str]]


def side_by_side(table: Table, repeated: int = 1) -> list[Table]:
    """Return the table in parts that fit the width of a page, the first columns in each of them.

    Args:
        table: of any width.
        repeated: number of the first columns that name the rows.
    """
    widths = [
        max(map(_unbroken, [name, *(row[index] for row in table.rows)])) for index, name in enumerate(table.columns)
    ]
    own = sum(widths[:repeated])
    parts: list[list[int]] = [[]]
    for index in range(repeated, len(table.columns)):
        if parts[-1] and own + sum(widths[other] for other in parts[-1]) + widths[index] > PAGE_CHARACTERS:
            parts.append([])
        parts[-1].append(index)
    return [
        Table(
            [table.columns[index] for index in (*range(repeated), *part)],
            [[row[index] for index in (*range(repeated), *part)] for row in table.rows],
        )
        for part in parts
    ]


def _unbroken(text: str) -> int:
    """Return the characters that a column needs for a text, which breaks between words and may fill several lines."""
    return PADDING + max(*map(len, text.split(" ")), min(len(text), MAX_LINE), 1)


def as_text(frame: pd.DataFrame) -> Table:
    """Return the table with unrounded numbers."""
    rows = frame.astype(object).itertuples(index=False)
    return Table([str(name) for name in frame.columns], [[_plain(value) for value in row] for row in rows])


def run_table(evidence: Evidence) -> Table:
    """Return a row per run with its headline results, rounded, and the beginnings of its hashes."""
    comparison, catalog = evidence.comparison, evidence.catalog
    names = {column.result: short_label(column, comparison, catalog) for column in evidence.columns}
    rows = []
    for run in all_runs(comparison):
        seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
        rows.append(
            {
                "run": run.id,
                "group": comparison.label_of(run),
                "status": status_text(run.status),
                **{
                    words: number(run.results[name].value) if name in run.results else None
                    for name, words in names.items()
                },
                "device": run.device or None,
                "took": duration(seconds),
                **{name: (run.provenance.get(name) or "—")[:_HASH] for name in ("commit", "data_hash", "spec_hash")},
            }
        )
    return as_text(pd.DataFrame(rows, dtype=object))


def interval_table(evidence: Evidence) -> Table:
    """Return a row per run and result with its interval over the test images."""
    rows = [
        {"run": run.id, "result": name, "value": value.value, "low": value.low, "high": value.high, "n": value.n}
        for run in all_runs(evidence.comparison)
        for name, value in run.results.items()
    ]
    return as_text(pd.DataFrame(rows, dtype=object))


def spec_tables(evidence: Evidence) -> tuple[Table, Table]:
    """Return the settings that differ between the runs, a row per run, and the settings that all runs share."""
    specs = {run.id: flatten(run.known_spec) for run in evidence.runs}
    names = list(dict.fromkeys(name for spec in specs.values() for name in spec))
    texts = {name: {json.dumps(spec.get(name)) for spec in specs.values()} for name in names}
    shared = [{"setting": name, "value": next(iter(texts[name]))} for name in names if len(texts[name]) == 1]
    different = [name for name in names if len(texts[name]) > 1]
    rows = [
        {"run": run, **{name: json.dumps(spec[name]) if name in spec else None for name in different}}
        for run, spec in specs.items()
    ]
    return as_text(pd.DataFrame(rows, dtype=object)), as_text(pd.DataFrame(shared))


def _plain(value: Any) -> str:
    """Return a number with all its digits, and a missing value as a dash."""
    if value is None or (isinstance(value, float) and value != value):
        return "—"
    return repr(float(value)) if isinstance(value, float) else str(value)
