"""The report of a study as one HTML file that loads nothing."""

from markupsafe import Markup

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.analysis.formatting import ranges
from densitylab.frontend.analysis.study_text import (
    READING_NOTE,
    VERDICTS,
    column_labels,
    replaced_text,
    result_table,
    runs_table,
    settings_table,
    study_line,
)
from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.report.study_pictures import study_pictures


def study_html(report: StudyReport, catalog: Catalog, *, page: str = "") -> str:
    """Return the document.

    Args:
        report: the API's answer.
        catalog: the API's, for the names of methods and results.
        page: address of the page that links to runs lead to; "": no links.
    """
    return template("report/study.html.jinja").render(
        style=Markup(read_asset("report/report.css") + read_asset("report/study.css")),
        study=report.study,
        line=study_line(report),
        replaced=replaced_text(report.study),
        claims=report.claims,
        verdicts=VERDICTS,
        settings=settings_table(report.settings),
        reading=READING_NOTE if report.tables else "",
        tables=[
            (result_table(table, catalog), table, column_labels(table.columns, catalog)) for table in report.tables
        ],
        hashes=runs_table(report.tables, catalog),
        figures=[
            (figure.title, Markup(svg[svg.index("<svg") :]))
            for figure, svg in zip(report.figures, study_pictures(report, catalog), strict=True)
        ],
        notes=report.notes,
        ranges=ranges,
        page=page.rstrip("/"),
    )
