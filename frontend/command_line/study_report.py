"""`densitylab study report`: claims and tables in a terminal, or a report as a file."""

import argparse
from collections.abc import Callable
from pathlib import Path

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.analysis.study_text import READING_NOTE, VERDICTS, result_table, shared_notes
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.command_line.data_output import write_data
from densitylab.frontend.command_line.demo import page_url
from densitylab.frontend.command_line.outcome import DONE, WrongInput
from densitylab.frontend.command_line.plain_text import aligned
from densitylab.frontend.command_line.study_paper import write_bundle, write_document, write_tables
from densitylab.frontend.report.study_markdown import study_markdown


def report_study(client: ApiClient, given: argparse.Namespace) -> int:
    """Print the report, or write it to a file."""
    write = None if given.out is None else WRITERS.get(given.out.suffix)
    if given.out is not None and write is None:
        raise WrongInput(f"{given.out}: name a file that ends with {' or '.join(WRITERS)}.")
    report = client.study_report(given.study)
    if write is not None:
        write(client, report, given.out)
    if given.json:
        write_data(report.model_dump_json(indent=1) + "\n")
    elif write is None:
        print(report_text(report, client.catalog()))
    return DONE


def report_text(report: StudyReport, catalog: Catalog) -> str:
    """Return claims and tables for a terminal."""
    parts = [report.study.question]
    for text in dict.fromkeys(claim.text for claim in report.claims):
        answers = [claim for claim in report.claims if claim.text == text]
        parts.append(
            "\n".join([text, *(f"  {VERDICTS[item.verdict]}  {item.launch_label}: {item.reason}" for item in answers)])
        )
    for title in dict.fromkeys(table.title for table in report.tables):
        tables = [result_table(table, catalog) for table in report.tables if table.title == title]
        parts += [f"{table.title}\n{aligned([table.columns, *table.rows], left=(0,))}" for table in tables]
        parts.append(shared_notes(tables))
    return "\n\n".join(filter(None, [*parts, *([READING_NOTE] if report.tables else []), *report.notes]))


def _write_markdown(client: ApiClient, report: StudyReport, file: Path) -> None:
    # Imports matplotlib, which takes longer than all the rest of the command
    from densitylab.frontend.report.study_pictures import study_pictures

    catalog = client.catalog()
    pictures = {
        file.with_name(f"{file.stem}-{number}.svg"): picture
        for number, picture in enumerate(study_pictures(report, catalog), 1)
    }
    for path, picture in pictures.items():
        path.write_text(picture, encoding="utf-8")
    file.write_text(study_markdown(report, catalog, [path.name for path in pictures]), encoding="utf-8")
    for path in (file, *pictures):
        print(path)


def _write_html(client: ApiClient, report: StudyReport, file: Path) -> None:
    from densitylab.frontend.report.study_html import study_html

    file.write_text(study_html(report, client.catalog(), page=page_url()), encoding="utf-8")
    print(file)


WRITERS: dict[str, Callable[[ApiClient, StudyReport, Path], None]] = {
    ".md": _write_markdown,
    ".html": _write_html,
    ".tex": write_tables,
    ".pdf": write_document,
    ".zip": write_bundle,
}
