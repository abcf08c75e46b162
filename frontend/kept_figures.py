"""Figures of the comparison, kept as JSON while nothing changes: Plotly takes longer than all the rest of the page.

`key` is the comparison's fingerprint. What begins with an underscore is what is drawn, and does not tell figures apart.
"""

from collections.abc import Mapping, Sequence

import streamlit as st

from backend.shared.contracts import MetricSeries
from frontend.aggregate import Column
from frontend.charts import BELOW, MAX_LEGEND, Point, XAxis, metric_label, overlay
from frontend.comparison import Comparison
from frontend.parts import catalog
from frontend.response import parallel, response
from frontend.tradeoff import tradeoff


@st.cache_data(max_entries=200, show_spinner=False)
def kept_response(key: str, label: str, _found: Comparison, _column: Column) -> str:
    return response(_found, _column, catalog(), title=label).to_json()


@st.cache_data(max_entries=100, show_spinner=False)
def kept_tradeoff(
    key: str, names: Sequence[str], _found: Comparison, _x: Column, _y: Column
) -> tuple[str, list[Point]]:
    figure, points = tradeoff(_found, _x, _y, catalog())
    return figure.to_json(), points


@st.cache_data(max_entries=100, show_spinner=False)
def kept_parallel(key: str, names: Sequence[str], _found: Comparison, _chosen: Sequence[Column]) -> str | None:
    figure = parallel(_found, _chosen, catalog())
    return None if figure is None else figure.to_json()


@st.cache_data(max_entries=100, show_spinner=False)
def kept_curves(
    key: str, ends: Sequence[tuple[int, int, int]], metric: str, over: XAxis, log_x: bool, log_y: bool,
    smoothing: float, _names: Mapping[int, str], _found: Comparison, _shown: Sequence[MetricSeries],
) -> str:
    """`ends` are (run, points, last step) of the curves, which only grow."""
    title = metric_label(metric)
    figure = overlay(title, title, _shown, _names, _found.run_colors, x=over, log_x=log_x, log_y=log_y,
                     smoothing=smoothing)
    figure.update_layout(legend=BELOW, showlegend=len(_shown) <= MAX_LEGEND, hovermode="closest")
    return figure.to_json()
