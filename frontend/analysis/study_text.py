"""The parts of a study's report in words: settings, claims, tables, and where λ was selected at an end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densitylab.backend.shared.contracts.catalog import CatalogStudySetting, StudySizeName
from densitylab.backend.shared.contracts.comparisons import SeedMean, Verdict
from densitylab.backend.shared.contracts.studies import (
    Study,
    StudyCell,
    StudyClaim,
    StudyColumn,
    StudyReport,
    StudyRow,
    StudyTable,
)
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.curve_names import metric_label
from densitylab.frontend.analysis.formatting import ranges, readable, result_label
from densitylab.frontend.analysis.setting_names import setting_label, settings_text
from densitylab.frontend.analysis.tables import BEST, cell
from densitylab.frontend.client.catalog import Catalog

NOT_STATED = "not stated"
EDGE = "†"
EDGE_NOTE = f"{EDGE} The selected λ is an end of those tried: one beyond may be better."
READING_NOTE = (
    "Mean ± half-width of the 95 % Student-t interval over seeds, or the mean with the ends of its interval. "
    f"{BEST.strip()}: best mean, apart from all others (paired t tests by seed, Holm's correction over the table, 5 %)."
)
SIZE_LABELS: Mapping[StudySizeName, str] = {"minutes": "minutes", "hours": "hours", "gpu": "GPU"}
VERDICTS: Mapping[Verdict, str] = {"yes": "✓ yes", "no": "✕ no", "undecided": "? undecided"}


@dataclass(frozen=True)
class TextTable:
    """A table of a report: texts, with the runs behind each row."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    runs: list[list[int]]  # of each row
    notes: list[str]


def settings_table(settings: Sequence[CatalogStudySetting]) -> TextTable:
    """Return the study's settings beside the paper's."""
    rows = [[item.name, item.ours or NOT_STATED, item.paper or NOT_STATED] for item in settings]
    return TextTable("Settings", ["setting", "this study", "the paper"], rows, [[] for _ in rows], [])


def claims_table(claims: Sequence[StudyClaim]) -> TextTable:
    """Return a row for each claim about each launch, with the runs of both methods."""
    rows = [
        [
            item.text,
            item.launch_label,
            VERDICTS[item.verdict],
            item.reason,
            item.claim.result if item.claim else "—",
            f"{100 * item.claim.accuracy_budget:g} points" if item.claim else "—",
            ranges(item.first) or "—",
            ranges(item.second) or "—",
        ]
        for item in claims
    ]
    columns = ["claim", "about", "answer", "reason", "result", "budget", "first", "second"]
    return TextTable("Claims", columns, rows, [[] for _ in rows], [])


def results_table(tables: Sequence[StudyTable], catalog: Catalog) -> TextTable:
    """Return the name that the API has for each column."""
    names = {column_label(column, catalog): column.result for table in tables for column in table.columns}
    return TextTable("Results", ["column", "result"], [list(item) for item in names.items()], [[] for _ in names], [])


def runs_table(tables: Sequence[StudyTable], catalog: Catalog) -> TextTable:
    """Return the spec hashes of the runs behind all rows, each group of runs once."""
    groups = {tuple(row.runs): (table, row) for table in tables for row in table.rows if row.runs}
    rows = [
        [table.launch_label, method_text(row.settings, catalog), f"{row.lambda_:g}", " ".join(row.spec_hashes)]
        for table, row in groups.values()
    ]
    return TextTable("Runs", ["about", "method", "λ", "spec hashes"], rows, [list(runs) for runs in groups], [])


def result_table(table: StudyTable, catalog: Catalog) -> TextTable:
    """Return a row for each method at its λ, with the means over seeds."""
    notes = [*table.notes, *([EDGE_NOTE] if any(row.edge for row in table.rows) else [])]
    columns = ["method", "λ", "seeds", *column_labels(table.columns, catalog)]
    rows = [
        [
            method_text(row.settings, catalog),
            lambda_text(row),
            str(len(set(row.seeds))) if row.seeds else "—",
            *(cell_text(item, len(set(row.seeds))) for item in row.cells),
        ]
        for row in table.rows
    ]
    return TextTable(f"{table.title}: {table.launch_label}", columns, rows, [row.runs for row in table.rows], notes)


def shared_notes(tables: Sequence[TextTable]) -> str:
    """Return the notes of tables that belong together, each once."""
    return " ".join(dict.fromkeys(note for table in tables for note in table.notes))


def method_text(settings: Mapping[str, Any], catalog: Catalog) -> str:
    """Return a method in words."""
    return settings_text(settings, list(settings), catalog)


def lambda_text(row: StudyRow) -> str:
    """Return λ, marked where it is an end of the candidates."""
    if row.lambda_ is None:
        return "none within budget"
    return f"{row.lambda_:g}" + (f" {EDGE}" if row.edge else "")


def cell_text(item: StudyCell, seeds: int) -> str:
    """Return the mean with its interval, and the mark of the best one."""
    return (BEST if item.best else "") + cell(estimate_of(item.mean), seeds=seeds)


def estimate_of(mean: SeedMean | None) -> Estimate | None:
    return None if mean is None else Estimate(mean.mean, mean.low, mean.high, mean.n)


def column_labels(columns: Sequence[StudyColumn], catalog: Catalog) -> list[str]:
    """Return the results in words, with an arrow towards better values."""
    arrows = {True: " ↑", False: " ↓", None: ""}
    return [column_label(column, catalog) + arrows[column.higher_is_better] for column in columns]


def column_label(column: StudyColumn, catalog: Catalog) -> str:
    """Return the result in words, with the evaluation's name where it is not that of its kind."""
    name, _, value = column.result.partition(".")
    if not column.evaluation:
        return metric_label(value)
    label = result_label(column.result, column.evaluation, column.params, catalog)
    return label if name == column.evaluation else f"{label} ({readable(name.removeprefix(f'{column.evaluation}_'))})"


def axis_label(x: StudyColumn | str, catalog: Catalog) -> str:
    """Return an axis of a figure in words: a result, or a setting of the spec."""
    if isinstance(x, StudyColumn):
        return column_labels([x], catalog)[0]
    return setting_label(x, {}, catalog)


def study_line(report: StudyReport) -> str:
    """Return size, version, date and hardware in a line."""
    study = report.study
    hardware = ", ".join(report.devices) or "no run has been trained"
    size = SIZE_LABELS[study.size]
    return f"Size: {size} · version {study.version} · {study.created_at:%Y-%m-%d} · trained on {hardware}"


def price_text(minutes: float) -> str:
    """Return a stated price, in minutes or in hours."""
    return f"about {minutes:g} min" if minutes < 60 else f"about {round(minutes / 60, 1):g} h"


def replaced_text(study: Study) -> str:
    """Return which data sets were taken in place of the study's own; "" where none was."""
    return ", ".join(f"{other} in place of {own}" for own, other in study.datasets.items())
