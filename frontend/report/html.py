"""A report as one HTML file that loads nothing: tables, charts and maps, with plotly.js inside."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from densitylab.backend.shared.contracts import Origin
from densitylab.backend.shared.statistics.conditions import conditions_text, differing_conditions
from densitylab.backend.shared.statistics.groups import higher_is_better
from densitylab.backend.shared.statistics.selection import ACCURACY, select, selection_text
from densitylab.frontend.analysis.comparison import (
    column_label,
    headline_columns,
    results_in_several_columns,
    selectable_columns,
    tradeoff_columns,
)
from densitylab.frontend.analysis.controls import controls_text
from densitylab.frontend.analysis.curve_names import metric_label
from densitylab.frontend.analysis.formatting import counted, status_text
from densitylab.frontend.analysis.tables import numbers, selections, summary
from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.charts.evaluation_curves import evaluation_charts
from densitylab.frontend.charts.evaluation_spreads import draw_spreads, evaluation_spreads, sample_spreads
from densitylab.frontend.charts.figures import BELOW, MAX_LEGEND, overlay
from densitylab.frontend.charts.lambda_response import lambda_response, lines, parallel_coordinates
from densitylab.frontend.charts.plotly_config import PLOTLY_CONFIG
from densitylab.frontend.charts.results import draw
from densitylab.frontend.charts.tradeoff import tradeoff
from densitylab.frontend.maps.saliency_panels import saliency_html, scale_html
from densitylab.frontend.report.evidence import Evidence
from densitylab.frontend.report.tables import Table, as_text, interval_table, run_table, spec_tables

ACCURACY_BUDGET = 0.02  # of the table at matched accuracy
MAP_ZOOM = 3


@dataclass(frozen=True)
class _Selected:
    result: str
    budget: str  # points
    table: Table
    text: str


@dataclass(frozen=True)
class _Requests:
    title: str
    commands: list[str]


def render(evidence: Evidence) -> str:
    """Return the whole document."""
    comparison, catalog, experiment = evidence.comparison, evidence.catalog, evidence.experiment
    columns = headline_columns(comparison, catalog)
    view = evidence.maps.view
    parallel = parallel_coordinates(comparison, columns, catalog)
    differing, shared = spec_tables(evidence)
    return template("report/report.html.jinja").render(
        style=Markup(read_asset("report/report.css")),
        plotly=Markup(get_plotlyjs()),
        experiment=experiment,
        runs=counted(len(evidence.runs), "run"),
        states=", ".join(f"{status_text(status)} {count}" for status, count in experiment.counts.items() if count),
        now=datetime.now(UTC),
        warnings=_warnings(evidence),
        summary=as_text(summary(comparison, columns, catalog)),
        controls=controls_text(comparison, columns, catalog),
        numbers=as_text(pd.DataFrame(numbers(comparison, comparison.columns, catalog), dtype=object)),
        selected=_selected(evidence),
        figures=[_figure_html(figure) for figure in _figures(evidence)],
        parallel=_figure_html(parallel) if parallel else None,
        maps=evidence.maps,
        scale=Markup(scale_html(view)) if view else None,
        panels=Markup(saliency_html(view, MAP_ZOOM)) if view else None,
        run_table=run_table(evidence),
        intervals=interval_table(evidence),
        provenance=_provenance(evidence),
        differing=differing,
        shared=shared,
        specs=_json({run.id: run.known_spec for run in evidence.runs}),
        requests=_requests(evidence),
    )


def _warnings(evidence: Evidence) -> dict[str, list[str]]:
    """Return the runs and evaluations of each warning and error."""
    sources: dict[str, list[str]] = {}
    for run in evidence.runs:
        for flag in run.flags:
            sources.setdefault(flag.text, []).append(f"run {run.id}")
        for item in evidence.evaluations[run.id]:
            for flag in item.flags:
                sources.setdefault(flag.text, []).append(f"{item.name} of run {run.id}")
            if item.status.final and item.error:
                sources.setdefault(f"Not evaluated: {item.error}", []).append(f"{item.name} of run {run.id}")
        if run.error:
            sources.setdefault(f"The run {run.status.value}: {run.error}", []).append(f"run {run.id}")
    for result in results_in_several_columns(evidence.comparison):
        sources[f"{result} was evaluated with different parameters or on different data; each has its own column."] = []
    columns = headline_columns(evidence.comparison, evidence.catalog)
    if text := conditions_text(differing_conditions(evidence.runs, columns)):
        sources[text] = []
    return sources


def _selected(evidence: Evidence) -> _Selected | None:
    """Return the table of each method's selected λ, for the first headline result of known direction."""
    comparison = evidence.comparison
    offered = selectable_columns(headline_columns(comparison, evidence.catalog), evidence.runs)
    if not offered:
        return None
    column = offered[0]
    rows = select(
        comparison.groups,
        column,
        higher=bool(higher_is_better(evidence.runs, column)),
        max_loss=ACCURACY_BUDGET,
        baseline=comparison.baseline,
    )
    if not rows:
        return None
    return _Selected(
        column_label(column, comparison, evidence.catalog),
        f"{100 * ACCURACY_BUDGET:g}",
        as_text(selections(rows, comparison, column, evidence.catalog)),
        selection_text(rows),
    )


def _figures(evidence: Evidence) -> list[go.Figure]:
    comparison, catalog = evidence.comparison, evidence.catalog
    columns = headline_columns(comparison, catalog)
    figures = [
        lambda_response(comparison, column, catalog, title=column_label(column, comparison, catalog))
        for column in columns
        if any(len(line.points) > 1 for line in lines(comparison, column))
    ]
    figures += [
        tradeoff(comparison, accuracy, column, catalog, title="Trade-off")[0]
        for accuracy in columns
        for column in tradeoff_columns(columns)
        if accuracy.result == ACCURACY
    ]
    names = {run.id: comparison.label_of(run) for run in evidence.runs}
    for metric in dict.fromkeys(item.name for item in evidence.series):
        series = [item for item in evidence.series if item.name == metric and item.points]
        if series:
            figure = overlay(metric_label(metric), metric_label(metric), series, names, comparison.run_colors)
            figures.append(figure.update_layout(legend=BELOW, showlegend=len(series) <= MAX_LEGEND))
    figures += [
        draw(chart.plot, chart.traces) for chart in evaluation_charts(comparison, evidence.evaluations, catalog)
    ]
    for chart in evaluation_spreads(comparison, evidence.evaluations, catalog):
        spreads = sample_spreads(chart, comparison, lambda run_id, item: evidence.arrays.get((run_id, item.name), {}))
        if spreads:
            figures.append(draw_spreads(chart, spreads))
    return figures


def _provenance(evidence: Evidence) -> list[str]:
    """Return the provenance of the runs, once for each set of code, packages and host."""
    distinct = {
        json.dumps([run.provenance.get(name) for name in ("version", "commit", "packages", "host")]): run.provenance
        for run in evidence.runs
        if run.provenance
    }
    return [_json({name: value for name, value in item.items() if name != "spec_hash"}) for item in distinct.values()]


def _requests(evidence: Evidence) -> list[_Requests]:
    """Return the curl commands that launch the experiment again and read its results."""
    base, experiment = f"{evidence.url.rstrip('/')}/api/v1", evidence.experiment
    requests = []
    if any(run.origin is Origin.TRAINED for run in evidence.runs):
        requests.append(_Requests("Launch the same runs again:", [_post(f"{base}/experiments", experiment.request)]))
    if experiment.additions:
        added = [_post(f"{base}/experiments/{experiment.id}/runs", addition) for addition in experiment.additions]
        requests.append(_Requests("Runs that were added later, in this order:", added))
    if evidence.maps.request:
        body = evidence.maps.request.model_dump(mode="json")
        requests.append(_Requests("Saliency maps:", [_post(f"{base}/attributions", body)]))
    urls = [
        f"{base}/experiments/{experiment.id}",
        f"{base}/runs?experiment={experiment.id}&limit=100",
        f"{base}/runs/{evidence.runs[0].id}/evaluations",
        f"{base}/runs/{evidence.runs[0].id}/metrics",
    ]
    requests.append(_Requests("Results:", ["\n".join(f"curl '{url}'" for url in urls)]))
    return requests


def _post(url: str, body: Any) -> str:
    quoted = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -X POST {url} -H 'Content-Type: application/json' -d '{quoted}' "


def _figure_html(figure: go.Figure) -> Markup:
    # A copy: Plotly takes the server out of the dictionary that it is given
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, default_height=390, config={**PLOTLY_CONFIG}))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)
