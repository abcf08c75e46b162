"""The comparison's figures as JSON, cached: Plotly takes longer than all the rest of the page.

`key` is the comparison's fingerprint. Streamlit does not hash arguments that begin with an underscore.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from densitylab.backend.shared.contracts import MetricSeries
from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import Comparison, all_runs
from densitylab.frontend.analysis.curve_names import metric_label
from densitylab.frontend.charts.figures import BELOW, MAX_LEGEND, Point, XAxis, overlay
from densitylab.frontend.charts.lambda_response import lambda_response, parallel_coordinates
from densitylab.frontend.charts.tradeoff import tradeoff
from densitylab.frontend.ui.api import catalog


@dataclass(frozen=True)
class CurveOptions:
    """The axes and the smoothing of training curves."""

    x: XAxis
    log_x: bool
    log_y: bool
    smoothing: float


@st.cache_data(max_entries=200, show_spinner=False)
def cached_lambda_response(key: str, label: str, _comparison: Comparison, _column: Column) -> str:
    return lambda_response(_comparison, _column, catalog(), title=label).to_json()


@st.cache_data(max_entries=100, show_spinner=False)
def cached_tradeoff(
    key: str, names: Sequence[str], _comparison: Comparison, _x: Column, _y: Column
) -> tuple[str, list[Point]]:
    figure, points = tradeoff(_comparison, _x, _y, catalog())
    return figure.to_json(), points


@st.cache_data(max_entries=100, show_spinner=False)
def cached_parallel_coordinates(
    key: str, names: Sequence[str], _comparison: Comparison, _columns: Sequence[Column]
) -> str | None:
    figure = parallel_coordinates(_comparison, _columns, catalog())
    return None if figure is None else figure.to_json()


@st.cache_data(max_entries=100, show_spinner=False)
def cached_curves(
    key: str,
    ends: Sequence[tuple[int, int, int]],
    metric: str,
    options: CurveOptions,
    _comparison: Comparison,
    _series: Sequence[MetricSeries],
) -> str:
    """Return the curves of single runs; `ends` are (run, points, last step) of the curves, which only grow."""
    title = metric_label(metric)
    figure = overlay(
        title,
        title,
        _series,
        {run.id: _comparison.label_of(run) for run in all_runs(_comparison)},
        _comparison.run_colors,
        _comparison.run_dashes,
        x=options.x,
        log_x=options.log_x,
        log_y=options.log_y,
        smoothing=options.smoothing,
    )
    figure.update_layout(legend=BELOW, showlegend=len(_series) <= MAX_LEGEND, hovermode="closest")
    return figure.to_json()
