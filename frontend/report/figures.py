"""The charts of an experiment's report."""

from collections.abc import Iterator
from dataclasses import dataclass

import plotly.graph_objects as go

from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.frontend.analysis.comparison import column_label, tradeoff_columns
from densitylab.frontend.analysis.curve_names import metric_label
from densitylab.frontend.charts.evaluation_curves import evaluation_charts
from densitylab.frontend.charts.evaluation_spreads import draw_spreads, evaluation_spreads, sample_spreads
from densitylab.frontend.charts.figures import BELOW, MAX_LEGEND, overlay
from densitylab.frontend.charts.lambda_response import lambda_response, lines
from densitylab.frontend.charts.results import draw
from densitylab.frontend.charts.tradeoff import tradeoff
from densitylab.frontend.report.evidence import Evidence

MEANS = "Means over seeds with 95 % intervals; small dots are single runs."


@dataclass(frozen=True)
class ReportFigure:
    """A chart and what its marks stand for."""

    figure: go.Figure
    marks: str


def report_figures(evidence: Evidence) -> list[ReportFigure]:
    """Return responses to λ, trade-offs, training curves, curves of evaluations and values of single test images."""
    return [
        *(ReportFigure(figure, MEANS) for figure in _means(evidence)),
        *(ReportFigure(figure, "A curve for each run.") for figure in _training(evidence)),
        *(
            ReportFigure(draw(chart.plot, chart.traces), "Means over seeds where they share their x values.")
            for chart in evaluation_charts(evidence.comparison, evidence.evaluations, evidence.catalog)
        ),
        *(ReportFigure(figure, "A dot for each test image.") for figure in _spreads(evidence)),
    ]


def _means(evidence: Evidence) -> Iterator[go.Figure]:
    comparison, catalog = evidence.comparison, evidence.catalog
    columns = evidence.columns
    for column in columns:
        if any(len(line.points) > 1 for line in lines(comparison, column)):
            yield lambda_response(comparison, column, catalog, title=column_label(column, comparison, catalog))
    for accuracy in columns:
        if accuracy.result == ACCURACY:
            for column in tradeoff_columns(columns):
                title = f"{column_label(column, comparison, catalog)} against test accuracy"
                yield tradeoff(comparison, accuracy, column, catalog, title=title)[0]


def _training(evidence: Evidence) -> Iterator[go.Figure]:
    comparison = evidence.comparison
    names = {run.id: comparison.label_of(run) for run in evidence.runs}
    for metric in dict.fromkeys(item.name for item in evidence.series):
        series = [item for item in evidence.series if item.name == metric and item.points]
        if series:
            figure = overlay(
                metric_label(metric), metric_label(metric), series, names, comparison.run_colors, comparison.run_dashes
            )
            yield figure.update_layout(legend=BELOW, showlegend=len(series) <= MAX_LEGEND)


def _spreads(evidence: Evidence) -> Iterator[go.Figure]:
    comparison = evidence.comparison
    for chart in evaluation_spreads(comparison, evidence.evaluations, evidence.catalog):
        spreads = sample_spreads(chart, comparison, lambda run_id, item: evidence.arrays.get((run_id, item.name), {}))
        if spreads:
            yield draw_spreads(chart, spreads)
