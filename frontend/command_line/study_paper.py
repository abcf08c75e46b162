"""A study's files for a paper."""

from pathlib import Path

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.client import ApiClient
from densitylab.frontend.command_line.outcome import WrongInput
from densitylab.frontend.paper.bundle import bundle, files
from densitylab.frontend.paper.latex import tables_latex
from densitylab.frontend.paper.study import collect_study
from densitylab.frontend.paper.typeset import CannotTypeset, typeset


def write_tables(client: ApiClient, report: StudyReport, file: Path) -> None:
    """Write the tables as LaTeX."""
    file.write_text(tables_latex(collect_study(client, report)), encoding="utf-8")
    print(file)


def write_document(client: ApiClient, report: StudyReport, file: Path) -> None:
    """Write claims, tables, figures and sources as a PDF, by the LaTeX compiler of this machine."""
    try:
        file.write_bytes(typeset(dict(files(collect_study(client, report), client.catalog()))))
    except CannotTypeset as error:
        raise WrongInput(f"{error} Write {file.with_suffix('.zip')} and compile its paper.tex elsewhere.") from None
    print(file)


def write_bundle(client: ApiClient, report: StudyReport, file: Path) -> None:
    """Write everything as one archive."""
    file.write_bytes(bundle(collect_study(client, report), client.catalog()))
    print(file)
