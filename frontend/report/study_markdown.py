"""The report of a study as Markdown, with its figures as files beside it."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.analysis.formatting import ranges
from densitylab.frontend.analysis.study_text import (
    READING_NOTE,
    TextTable,
    claims_table,
    replaced_text,
    result_table,
    results_table,
    runs_table,
    settings_table,
    shared_notes,
    study_line,
)
from densitylab.frontend.client.catalog import Catalog


def study_markdown(report: StudyReport, catalog: Catalog, pictures: Sequence[str] = ()) -> str:
    """Return the report; it names no machine and no address.

    Args:
        report: the API's answer.
        catalog: the API's, for the names of methods and results.
        pictures: the files of the report's figures, in their order, relative to that of the report; empty: none.
    """
    study = report.study
    parts = [f"# {_text(study.label)}", _text(study.question), study_line(report) + "."]
    if study.datasets:
        parts.append(f"Data sets: {_text(replaced_text(study))}.")
    if report.claims:
        parts += ["## Claims", _table(claims_table(report.claims), with_runs=False)]
    parts += ["## Settings", _table(settings_table(report.settings), with_runs=False)]
    for title in dict.fromkeys(table.title for table in report.tables):
        tables = [result_table(table, catalog) for table in report.tables if table.title == title]
        for table in tables:
            parts += [f"## {_text(table.title)}", _table(table)]
        parts.append(_text(shared_notes(tables)))
    if report.tables:
        parts.append(_text(READING_NOTE))
    if pictures:
        parts.append("## Figures")
        parts += [f"![{_text(figure.title)}]({file})" for figure, file in zip(report.figures, pictures, strict=True)]
    if report.tables:
        parts += ["## Results", _table(results_table(report.tables, catalog), with_runs=False)]
        parts += ["## Runs", _table(runs_table(report.tables, catalog))]
    if report.notes:
        parts += ["## Notes", "\n".join(f"- {_text(note)}" for note in report.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(table: TextTable, *, with_runs: bool = True) -> str:
    """Return the table; `with_runs` adds a column with the numbers of the runs behind each row."""
    columns = [*table.columns, *["runs"] * with_runs]
    rows = [[*row, *[ranges(runs) or "—"] * with_runs] for row, runs in zip(table.rows, table.runs, strict=True)]
    return "\n".join([_row(columns), _row(["---"] * len(columns)), *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _text(text: str) -> str:
    """Return the text on one line, without characters that would start markup."""
    for character in "\\`*|[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.replace("<", "&lt;").split())
