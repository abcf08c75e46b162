"""A study as a frozen page."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.contracts.studies import StudyReport, StudyTable
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.formatting import as_sentence, run_words, status_text
from densitylab.frontend.analysis.study_text import (
    READING_NOTE,
    VERDICTS,
    column_labels,
    lambda_text,
    method_text,
    replaced_text,
    result_table,
    settings_table,
    study_line,
)
from densitylab.frontend.assets import template
from densitylab.frontend.charts.study_figure import study_figure
from densitylab.frontend.charts.study_layout import PlacedFigure, placed, styles
from densitylab.frontend.client import ApiClient, ApiError
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.frozen.charts import Chart, chart
from densitylab.frontend.frozen.folder import Files, shared_files
from densitylab.frontend.frozen.maps import MapSection, map_section
from densitylab.frontend.frozen.run_pages import run_pages
from densitylab.frontend.frozen.stamp import stamp
from densitylab.frontend.report.experiment_report import MAP_IMAGES, collect_maps, fetch_curves
from densitylab.frontend.report.tables import Table


def freeze_study(client: ApiClient, study: int, images: Sequence[int] | None = None) -> Files:
    """Return the files of the page; saliency maps are computed if they do not exist yet.

    Args:
        client: of the API.
        study: its number.
        images: indices of the test images whose maps are shown; None: the first ones, and no maps where there are none.

    Raises:
        ApiError: there is no such study, it has no results yet, a run was deleted meanwhile, or there are no maps of
            the given images.
    """
    report = client.study_report(study)
    if not any(cell.mean for table in report.tables for row in table.rows for cell in row.cells):
        reasons = [as_sentence(item.left_out) for item in report.study.launches if item.left_out]
        raise ApiError(409, " ".join([f"Study {study} has no results yet.", *dict.fromkeys(reasons)]))
    catalog = client.catalog()
    try:
        runs = _runs(client, report)
        series = fetch_curves(client, list(runs))
        sections, pictures = _maps(client, report, runs, catalog, MAP_IMAGES if images is None else images)
    except ApiError as error:
        if error.status != 404:
            raise
        message = f"A run of study {study} was deleted while the page was made. Make it again."
        raise ApiError(404, message) from error
    missing = next((section.missing for section in sections if section.missing), "")
    if images is not None and missing:
        raise ApiError(409, missing)
    when = stamp()
    pages = run_pages(
        list(runs.values()),
        catalog,
        series=series,
        sections=sections,
        whole=report.study.label,
        stamp=when,
    )
    index = _index(report, runs, sections, catalog, when)
    return {"index.html": index.encode(), **shared_files(), **pictures, **pages}


def _index(
    report: StudyReport, runs: dict[int, Run], sections: Sequence[MapSection], catalog: Catalog, when: str
) -> str:
    return template("frozen/study.html.jinja").render(
        root="",
        title=report.study.label,
        stamp=when,
        study=report.study,
        line=study_line(report),
        replaced=replaced_text(report.study),
        claims=report.claims,
        verdicts=VERDICTS,
        settings=settings_table(report.settings),
        reading=READING_NOTE,
        tables=[
            (result_table(table, catalog), _means(table, catalog), _single_runs(table, catalog))
            for table in report.tables
        ],
        charts=list(_charts(report, catalog)),
        sections=sections,
        notes=report.notes,
        run_rows=[
            (run.id, run_words(run, catalog), status_text(run.status), run.provenance.get("spec_hash") or "—")
            for run in runs.values()
        ],
    )


def _runs(client: ApiClient, report: StudyReport) -> dict[int, Run]:
    """Fetch the runs behind tables, figures and claims, in the order of their numbers."""
    shown = {run for table in report.tables for row in table.rows for run in row.runs}
    shown |= {run for item in report.claims for run in (*item.first, *item.second)}
    shown |= {
        run
        for figure in report.figures
        for panel in figure.panels
        for line in panel.lines
        for point in line.points
        for run in point.runs
    }
    experiments = [item.experiment for item in report.study.launches if item.experiment is not None]
    listed = {run.id: run for experiment in experiments for run in client.runs_of(experiment)}
    return {number: listed[number] if number in listed else client.run(number) for number in sorted(shown)}


def _maps(
    client: ApiClient, report: StudyReport, runs: dict[int, Run], catalog: Catalog, images: Sequence[int]
) -> tuple[list[MapSection], Files]:
    """Return the maps of the methods in the first table of each launch."""
    sections: list[MapSection] = []
    files: Files = {}
    for table in {table.launch: table for table in reversed(report.tables)}.values():
        compared = [runs[number] for row in table.rows for number in row.runs]
        if compared:
            maps = collect_maps(client, compare(compared, catalog), catalog, images)
            section, pictures = map_section(maps, table.launch_label, f"maps/{table.launch}")
            sections.insert(0, section)
            files |= pictures
    return sections, files


def _charts(report: StudyReport, catalog: Catalog) -> Iterator[Chart]:
    by_label = styles(report.figures, catalog)
    for item in report.figures:
        figure = placed(item, by_label, catalog)
        limits = _limits(figure)
        for panel in figure.panels:  # side by side they would not fit a narrow screen
            drawn = study_figure(replace(figure, panels=[panel])).update_yaxes(range=limits)
            drawn.layout.annotations = ()  # its name is in the caption
            yield chart(
                drawn,
                "Means over seeds with 95 % intervals; a line joins the λ, or the settings, of one method.",
                sorted({run for line in panel.lines for point in line.points for run in point.runs}),
                title=f"{figure.title}: {panel.label}",
            )


def _limits(figure: PlacedFigure) -> list[float] | None:
    """Return the ends of the y-axis that all panels share, with a margin; None where there is no point."""
    values = [
        end
        for panel in figure.panels
        for line in panel.lines
        for point in line.points
        for end in (point.y.mean, point.y.low, point.y.high)
        if end is not None
    ]
    if not values:
        return None
    margin = 0.05 * (max(values) - min(values)) or 0.05
    return [min(values) - margin, max(values) + margin]


def _means(table: StudyTable, catalog: Catalog) -> Table:
    """Return a row per method and result: the mean with its interval and n."""
    labels = column_labels(table.columns, catalog)
    rows = [
        [
            method_text(row.settings, catalog),
            lambda_text(row),
            label,
            f"{cell.mean.mean:.4g}",
            *("—" if end is None else f"{end:.4g}" for end in (cell.mean.low, cell.mean.high)),
            str(cell.mean.n),
        ]
        for row in table.rows
        for label, cell in zip(labels, row.cells, strict=True)
        if cell.mean is not None
    ]
    return Table(["method", "λ", "result", "mean", "95 % low", "95 % high", "n"], rows)


def _single_runs(table: StudyTable, catalog: Catalog) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the columns, and a row per run with its number."""
    rows = [
        (
            run,
            [
                method_text(row.settings, catalog),
                lambda_text(row),
                str(row.seeds[index]),
                *("—" if cell.per_seed[index] is None else f"{cell.per_seed[index]:.6g}" for cell in row.cells),
            ],
        )
        for row in table.rows
        for index, run in enumerate(row.runs)
    ]
    return ["run", "method", "λ", "seed", *column_labels(table.columns, catalog)], rows
