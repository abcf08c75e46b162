"""The paper output of a study."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.contracts.comparisons import ClaimQuestion, SeedMean, SeedTest
from densitylab.backend.shared.contracts.studies import (
    StudyClaim,
    StudyFigure,
    StudyLine,
    StudyPoint,
    StudyReport,
    StudyRow,
    StudyTable,
)
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.comparison import text
from densitylab.frontend.analysis.formatting import as_sentence, counted
from densitylab.frontend.analysis.study_text import axis_label, column_labels, estimate_of, method_text
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.paper.contents import (
    Paper,
    PaperCell,
    PaperClaim,
    PaperFigure,
    PaperPanel,
    PaperPoint,
    PaperRow,
    PaperTable,
)
from densitylab.frontend.paper.images import images_of
from densitylab.frontend.paper.keys import file_key


def collect_study(client: ApiClient, report: StudyReport) -> Paper:
    """Fetch the runs behind a study's report and return its paper output."""
    experiments = [launch.experiment for launch in report.study.launches if launch.experiment is not None]
    runs = [run for experiment in experiments for run in client.runs_of(experiment)]
    return study_paper(report, runs, client.catalog())


def study_paper(report: StudyReport, runs: Sequence[Run], catalog: Catalog) -> Paper:
    """Return tables, figures and claims of a study.

    Args:
        report: its report.
        runs: of all its experiments.
        catalog: the API's.
    """
    return Paper(
        title=report.study.label,
        question=report.study.question,
        settings=[(item.name, item.ours, item.paper) for item in report.settings],
        tables=[study_table(table, runs, catalog) for table in report.tables],
        figures=[_figure(figure, catalog) for figure in report.figures],
        claims=[_claim(item) for item in report.claims],
        runs=runs,
        notes=[*report.notes, *([f"Trained on {', '.join(report.devices)}."] if report.devices else [])],
    )


def study_table(table: StudyTable, runs: Sequence[Run], catalog: Catalog) -> PaperTable:
    """Return a table of a study; `runs` has at least the table's."""
    shown = {number for row in table.rows for number in row.runs}
    results = [column.result for column in table.columns]
    return PaperTable(
        key=file_key(table.title, table.launch),
        title=f"{table.title}: {table.launch_label}",
        results=results,
        labels=column_labels(table.columns, catalog),
        rows=[_row(row, catalog) for row in table.rows],
        images=images_of([run for run in runs if run.id in shown], results),
        notes=[as_sentence(note) for note in table.notes],
    )


def _claim(item: StudyClaim) -> PaperClaim:
    tests = [_test(question) for question in item.claim.questions] if item.claim else []
    return PaperClaim(item.text, item.launch_label, item.verdict, " ".join([item.reason, *tests]))


def _test(question: ClaimQuestion) -> str:
    """Return the differences of a question over seeds and over images, in words."""
    parts = []
    if seeds := question.seeds:
        against = f" against {question.threshold:g}" if question.threshold else ""
        p = "" if question.p is None else f", p = {question.p:.2g}{against}"
        parts.append(f"{text(_estimate(seeds), signed=True)} (n = {counted(seeds.n, 'seed')}{p})")
    if images := question.images:
        difference = Estimate(images.difference, images.low, images.high, images.n)
        parts.append(f"{text(difference, signed=True)} (n = {counted(images.n, 'image')})")
    differences = "; ".join(parts).replace("-", "−") or "not known"
    return f"Difference of the {question.question}: {differences}."


def _row(row: StudyRow, catalog: Catalog) -> PaperRow:
    cells = [PaperCell(estimate_of(cell.mean), cell.best) for cell in row.cells]
    return PaperRow(method_text(row.settings, catalog), row.lambda_, row.edge, row.runs, cells)


def _figure(figure: StudyFigure, catalog: Catalog) -> PaperFigure:
    return PaperFigure(
        key=file_key(figure.title),
        title=figure.title,
        x_label=axis_label(figure.x, catalog),
        y_label=axis_label(figure.y, catalog),
        panels=[
            PaperPanel(
                panel.launch_label, {_label(line, catalog): list(map(_point, line.points)) for line in panel.lines}
            )
            for panel in figure.panels
        ],
    )


def _label(line: StudyLine, catalog: Catalog) -> str:
    return method_text(line.settings, catalog)


def _point(point: StudyPoint) -> PaperPoint:
    x = point.setting if point.x is None else _estimate(point.x)
    return PaperPoint(x, _estimate(point.y), point.lambda_, point.runs)


def _estimate(mean: SeedMean | SeedTest) -> Estimate:
    return Estimate(mean.mean, mean.low, mean.high, mean.n)
