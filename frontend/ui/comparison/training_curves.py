"""The training curves of a comparison: two metrics side by side, one curve per run or one mean per group."""

import functools
from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import MetricSeries, Run
from densitylab.backend.shared.statistics.bounds import bounds_of_curve
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.curve_names import METRIC_LABELS, metric_label
from densitylab.frontend.charts.figures import X_LABELS, XAxis
from densitylab.frontend.charts.group_curves import group_curves, mean_curves, mean_table, run_table
from densitylab.frontend.ui.api import api
from densitylab.frontend.ui.chart_card import chart_card
from densitylab.frontend.ui.comparison.cached_figures import CurveOptions, cached_curves
from densitylab.frontend.ui.comparison.open_run import open_run

MAX_CURVES, MAX_POINTS = 60, 300


def show_training_curves(comparison: Comparison, runs: Sequence[Run]) -> None:
    """Draw the controls and the two charts."""
    st.header("Training curves")
    cells = st.columns([2, 2, 3, 2, 2])
    metrics = [*METRIC_LABELS, *sorted({name for run in runs for name in run.metrics} - METRIC_LABELS.keys())]
    picked = [
        cell.selectbox(
            label, metrics, metrics.index(first), format_func=metric_label, key=label.lower(), bind="query-params"
        )
        for cell, label, first in zip(cells, ("Left", "Right"), ("validation_accuracy", "gradient_norm"), strict=False)
    ]
    x: XAxis = cells[2].segmented_control(
        "x-axis", list(X_LABELS), default="step", required=True, key="over", bind="query-params"
    )
    smoothing = cells[3].slider(
        "Smoothing",
        0.0,
        0.99,
        0.0,
        key="smoothing",
        bind="query-params",
        help="Weight of the past in an exponential moving average; the raw curve stays visible, faint",
    )
    with cells[4]:
        log_x = st.toggle("Log x", key="logx", bind="query-params")
        log_y = st.toggle("Log y", key="logy", bind="query-params")
        means = st.toggle(
            "Means over seeds",
            key="means",
            bind="query-params",
            help="One curve per group with the 95 % interval over its seeds, at the steps that all seeds have",
        )
    options = CurveOptions(x, log_x, log_y, smoothing)
    shown_runs = [run.id for run in runs[:MAX_CURVES]]
    series = api().metrics_of(shown_runs, list(dict.fromkeys(picked)), max_points=MAX_POINTS)
    for side, cell, metric in zip(("left", "right"), st.columns(2), picked, strict=True):
        with cell:
            shown = [item for item in series if item.name == metric and item.points]
            if not shown:
                st.caption(f"No values of {metric_label(metric)} yet.")
                continue
            draw = _means if means else _single_runs
            figure, table = draw(comparison, shown, metric, options)
            chart_card(
                figure,
                table,
                key=f"curves-{side}",
                label=f"{metric_label(metric)} of {len(shown)} runs",
                height=380,
                opens=lambda run_id: open_run(run_id, comparison),
            )
    if len(runs) > MAX_CURVES:
        st.caption(f"The first {MAX_CURVES} of {len(runs)} runs are shown.")


def _means(
    comparison: Comparison, series: Sequence[MetricSeries], metric: str, options: CurveOptions
) -> tuple[str, Callable[[], pd.DataFrame]]:
    curves = group_curves(comparison, series, options.x)
    figure = mean_curves(
        metric_label(metric),
        curves,
        x=options.x,
        log_x=options.log_x,
        log_y=options.log_y,
        smoothing=options.smoothing,
        bounds=bounds_of_curve(metric),
    )
    return figure.to_json(), functools.partial(mean_table, curves)


def _single_runs(
    comparison: Comparison, series: Sequence[MetricSeries], metric: str, options: CurveOptions
) -> tuple[str, Callable[[], pd.DataFrame]]:
    ends = [(item.run, len(item.points), item.points[-1].step) for item in series]
    figure = cached_curves(comparison.fingerprint, ends, metric, options, comparison, series)
    return figure, functools.partial(run_table, comparison, series)
