"""Training curves of groups: the mean over seeds at each common step with its 95 % interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd
import plotly.graph_objects as go

from densitylab.backend.shared.contracts import MetricSeries
from densitylab.backend.shared.statistics.bounds import UNBOUNDED, Bounds, bounds_of_curve
from densitylab.backend.shared.statistics.estimates import Estimate, estimate
from densitylab.backend.shared.statistics.groups import newest_of_each_seed
from densitylab.frontend.analysis.colors import translucent
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.charts.axes import number_axis
from densitylab.frontend.charts.figures import BELOW, FEW_SEEDS, MARGIN, X_LABELS, XAxis, smoothed, whiskers


@dataclass(frozen=True)
class GroupCurve:
    """One metric of one group."""

    label: str
    color: str
    dash: str
    opens: int  # the run that a click opens
    steps: list[int]
    x: list[float]  # the mean over seeds of the x-axis
    values: list[Estimate]


def group_curves(comparison: Comparison, series: Sequence[MetricSeries], x: XAxis) -> list[GroupCurve]:
    """Return a curve per group with points; `series` are of one metric."""
    by_run = {item.run: {point.step: point for point in item.points} for item in series if item.points}
    drawn = []
    bounds = bounds_of_curve(series[0].name) if series else UNBOUNDED
    groups = zip(comparison.labels, comparison.colors, comparison.dashes, comparison.groups, strict=True)
    for label, color, dash, group in groups:
        seeds = [by_run[run.id] for run in newest_of_each_seed(run for run in group.runs if run.id in by_run)]
        steps = sorted(set.intersection(*(set(points) for points in seeds))) if seeds else []
        values = [estimate([points[step].value for points in seeds], bounds) for step in steps]
        if steps:
            drawn.append(
                GroupCurve(
                    label,
                    color,
                    dash,
                    group.runs[0].id,
                    steps,
                    [fmean(getattr(points[step], x) for points in seeds) for step in steps],
                    [value for value in values if value],
                )
            )
    return drawn


def mean_curves(
    title: str,
    curves: Sequence[GroupCurve],
    *,
    x: XAxis,
    log_x: bool,
    log_y: bool,
    smoothing: float,
    bounds: Bounds = UNBOUNDED,
) -> go.Figure:
    """Draw the curves with their intervals: bands, or bars where there are two seeds. Smoothing applies to the mean,
    and the raw mean stays, faint. The y-axis ends at the bounds of the values."""
    figure = go.Figure()
    for curve in curves:
        banded = [
            (at, value)
            for at, value in zip(curve.x, curve.values, strict=True)
            if value.low is not None and value.n > FEW_SEEDS and (value.low > 0 or not log_y)
        ]  # a log axis has no values below zero
        if banded:
            figure.add_scatter(
                x=[at for at, _ in banded] + [at for at, _ in reversed(banded)],
                y=[value.high for _, value in banded] + [value.low for _, value in reversed(banded)],
                fill="toself",
                fillcolor=translucent(curve.color, 0.13),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=curve.label,
                uid=f"{curve.label}-band",
            )
        means = [value.mean for value in curve.values]
        if smoothing:
            figure.add_scatter(
                x=curve.x,
                y=means,
                mode="lines",
                opacity=0.3,
                line={"color": curve.color, "width": 1},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=curve.label,
                uid=f"{curve.label}-raw",
            )
        figure.add_scatter(
            x=curve.x,
            y=smoothed(means, smoothing),
            name=curve.label,
            legendgroup=curve.label,
            uid=curve.label,
            mode="lines+markers" if len(curve.x) < 60 else "lines",
            marker={"size": 4},
            line={"color": curve.color, "width": 2, "dash": curve.dash},
            error_y=None if banded else whiskers(curve.values, translucent(curve.color, 0.6)),
            customdata=[curve.opens] * len(curve.x),
            text=[f"{curve.label}, mean of {value.n}" for value in curve.values],
            hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
        )
    figure.update_layout(
        template="none",
        title={"text": title, "font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.97},
        margin=MARGIN,
        hovermode="closest",
        legend=BELOW,
        showlegend=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        uirevision=f"mean-{x}-{log_x}-{log_y}",
    )
    figure.update_xaxes(number_axis(X_LABELS[x], log=log_x))
    figure.update_yaxes(number_axis(title, bounds, log=log_y))
    return figure


def mean_table(curves: Sequence[GroupCurve]) -> pd.DataFrame:
    """Return a row per group and step."""
    return pd.DataFrame(
        [
            {"group": curve.label, "step": step, "mean": value.mean, "low": value.low, "high": value.high, "n": value.n}
            for curve in curves
            for step, value in zip(curve.steps, curve.values, strict=True)
        ]
    )


def run_table(comparison: Comparison, series: Sequence[MetricSeries]) -> pd.DataFrame:
    """Return a row per step and a column per run; `series` are of one metric."""
    names = {run.id: comparison.label_of(run) for group in comparison.groups for run in group.runs}
    shown = {
        f"run {item.run}: {names[item.run]}": {point.step: point.value for point in item.points}
        for item in sorted(series, key=lambda item: item.run)
    }
    return pd.DataFrame(shown).sort_index().rename_axis("step").reset_index()
