"""Plotly figures of training curves and scatter plots; the page adds the colours of its theme."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from densitylab.backend.shared.contracts import MetricPoint, MetricSeries
from densitylab.backend.shared.statistics.bounds import UNBOUNDED, Bounds, bounds_of_curve
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.colors import PALETTE, translucent
from densitylab.frontend.analysis.curve_names import metric_label
from densitylab.frontend.charts.axes import number_axis

XAxis = Literal["step", "epoch", "seconds"]
X_LABELS: dict[XAxis, str] = {"step": "step", "epoch": "epoch", "seconds": "seconds of training"}


@dataclass(frozen=True)
class Panel:
    """A chart of the run page: metrics that share a unit."""

    title: str
    metrics: tuple[str, ...]
    unit: str


PANELS = (
    Panel("Loss", ("loss", "cross_entropy", "validation_cross_entropy"), "nats"),
    Panel("Accuracy", ("train_accuracy", "validation_accuracy", "validation_worst_group"), "accuracy"),
    Panel("Adversarial accuracy", ("validation_fgsm_accuracy", "validation_pgd_accuracy"), "accuracy, validation"),
    Panel("Penalty", ("penalty",), "before λ"),
    Panel("Gradient norms", ("gradient_norm", "gradient_norm_log_prob", "gradient_norm_margin"), "L2, [0, 1] pixels"),
)
SECONDARY_PANELS = (
    Panel("Current λ", ("lambda_",), "λ"),
    Panel("Robust share", ("validation_robust_share",), "accuracy under attack / accuracy, validation"),
    Panel("Learning rate", ("learning_rate",), "first parameter group"),
    Panel("Weight gradient norm", ("weight_gradient_norm",), "L2, before clipping"),
    Panel("Throughput", ("throughput",), "images per second"),
)
GROUP_WEIGHTS = "group_weight_"  # beginning of the curves that share a panel, one of each group
MAX_OTHER_PANELS = 24  # of curves with names of a training loop elsewhere
MAX_LEGEND = 12
FEW_SEEDS = 2  # whose interval is drawn as a bar: a band would cover all other curves
MAX_MARKERS = 600  # of a chart; each is an element of the page
# Room for the axis labels; where it is too small, Plotly draws a second time
MARGIN = {"l": 58, "r": 30, "t": 40, "b": 50}
_ROW = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right", "font": {"size": 11}}
BELOW = {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "xanchor": "left", "font": {"size": 11}}
_COLUMN = {"orientation": "v", "y": 1, "x": 1.04, "xanchor": "left", "font": {"size": 11}}


@dataclass(frozen=True)
class Point:
    """A group of runs in a scatter plot: means over seeds in both directions."""

    label: str
    x: Estimate
    y: Estimate
    color: str
    opens: int  # the run that a click opens
    faint: bool = False  # dominated by another point


@dataclass(frozen=True)
class RunPoint:
    """A run in a scatter plot."""

    label: str
    x: float
    y: float
    color: str
    opens: int
    faint: bool = False


def panels_of(names: Iterable[str]) -> list[Panel]:
    """Return the panels that have one of these curves; the weights of groups share one, and any other curve that
    belongs to none gets its own, the first 24 by name."""
    present = set(names)
    own = sorted(present - {name for panel in (*PANELS, *SECONDARY_PANELS) for name in panel.metrics})
    usual = [panel for panel in PANELS if present & set(panel.metrics)]
    weights = sorted((name for name in own if name.startswith(GROUP_WEIGHTS)), key=lambda name: (len(name), name))
    if weights:
        usual.append(Panel("Weights of groups", tuple(weights), "share of the loss"))
    rest = [name for name in own if name not in weights]
    return usual + [Panel(name, (name,), "") for name in rest[:MAX_OTHER_PANELS]]


def curves(
    panel: Panel, series: Sequence[MetricSeries], *, x: XAxis = "step", log_x: bool = False, log_y: bool = False
) -> dict[str, Any]:
    """Return the metrics of a panel for one run, as a plotly.js figure.

    It is a dictionary since Plotly's Python validation took nine tenths of a refresh of the run page; a test validates
    it.
    """
    by_name = {item.name: item for item in series}
    traces = [
        {
            "type": "scatter",
            "x": _positions(points, x),
            "y": [point.value for point in points],
            "name": metric_label(name),
            "uid": name,
            "mode": "lines+markers" if len(points) < 60 else "lines",
            "marker": {"size": 4},
            "hovertemplate": "%{y:.4g}",
            "line": {
                "color": PALETTE[index],
                "width": 1.8,
                "dash": "dot" if name.startswith("validation") else "solid",
            },
        }
        for index, name in enumerate(panel.metrics)
        if name in by_name
        for points in [by_name[name].points]
    ]
    return {
        "data": traces,
        "layout": _layout(
            panel.title,
            X_LABELS[x],
            panel.unit,
            log_x=log_x,
            log_y=log_y,
            legend="row" if len(traces) > 1 else None,
            y_bounds=bounds_of_curve(panel.metrics[0]),
        ),
    }


def overlay(
    title: str,
    unit: str,
    series: Sequence[MetricSeries],
    names: Mapping[int, str],
    colors: Mapping[int, str],
    dashes: Mapping[int, str],
    *,
    x: XAxis = "step",
    log_x: bool = False,
    log_y: bool = False,
    smoothing: float = 0.0,
    groups: Mapping[int, str] | None = None,
) -> go.Figure:
    """Draw a metric of several runs; with smoothing (see `smoothed`) the raw curve stays, faint. With the labels of
    their `groups` the legend has one entry for each group, of which it shows or hides all runs."""
    traces: list[dict[str, object]] = []  # Plotly validates one list in half the time of single traces
    few = sum(len(item.points) for item in series) < MAX_MARKERS
    entries = names if groups is None else groups
    listed: set[str] = set()
    for item in sorted(series, key=lambda item: item.run):
        if item.run not in names:
            continue
        entry = entries[item.run]
        legend_group = str(item.run) if groups is None else entry
        positions, values = _positions(item.points, x), [point.value for point in item.points]
        if smoothing:
            traces.append(
                {
                    "type": "scatter",
                    "x": positions,
                    "y": values,
                    "uid": f"{item.run}-raw",
                    "mode": "lines",
                    "opacity": 0.25,
                    "hoverinfo": "skip",
                    "line": {"color": colors[item.run], "width": 1},
                    "showlegend": False,
                    "legendgroup": legend_group,
                }
            )
        traces.append(
            {
                "type": "scatter",
                "x": positions,
                "y": smoothed(values, smoothing) if smoothing else values,
                "name": entry,
                "legendgroup": legend_group,
                "showlegend": groups is None or entry not in listed,
                "uid": str(item.run),
                "marker": {"size": 4},
                "mode": "lines+markers" if few and len(item.points) < 60 else "lines",
                "hovertemplate": "%{y:.4g}" if groups is None else f"%{{y:.4g}}<extra>{names[item.run]}</extra>",
                "line": {"color": colors[item.run], "width": 1.6, "dash": dashes[item.run]},
                "customdata": [item.run] * len(item.points),
            }
        )
        listed.add(entry)
    bounds = bounds_of_curve(series[0].name) if series else UNBOUNDED
    return _finished(traces, title, X_LABELS[x], unit, log_x=log_x, log_y=log_y, legend="column", y_bounds=bounds)


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Return the bias-corrected exponential moving average s_t = Σ w^(t−i) x_i / Σ w^(t−i).

    Args:
        values: in order of time.
        weight: w of the past, 0 (none) to below 1.
    """
    averages, total, mass = [], 0.0, 0.0
    for value in values:
        total, mass = weight * total + value, weight * mass + 1
        averages.append(total / mass)
    return averages


def scatter(
    title: str,
    x_label: str,
    y_label: str,
    points: Sequence[Point],
    runs: Sequence[RunPoint],
    *,
    x_bounds: Bounds = UNBOUNDED,
    y_bounds: Bounds = UNBOUNDED,
) -> go.Figure:
    """Draw means over seeds with their intervals, single runs as dots behind them, and dominated groups faint. The axes
    end at the bounds of the values."""
    traces: list[dict[str, object]] = []
    front = sorted((point.x.mean, point.y.mean) for point in points if not point.faint)
    if 1 < len(front) < len(points):
        traces.append(
            {
                "type": "scatter",
                "x": [x for x, _ in front],
                "y": [y for _, y in front],
                "mode": "lines",
                "uid": "front",
                "name": "Pareto front",
                "line": {"color": "rgba(128,128,128,0.3)", "width": 4},
                "hoverinfo": "skip",
            }
        )
    traces.append(
        {
            "type": "scatter",
            "x": [run.x for run in runs],
            "y": [run.y for run in runs],
            "mode": "markers",
            "name": "single runs",
            "uid": "runs",
            "text": [run.label for run in runs],
            "marker": {"size": 7, "color": [translucent(run.color, 0.15 if run.faint else 0.5) for run in runs]},
            "customdata": [run.opens for run in runs],
            "showlegend": False,
            "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        }
    )
    # Few groups have a legend; many share one trace, which the browser draws faster
    few = len(points) <= MAX_LEGEND
    for batch in [[point] for point in points] if few else [points]:
        colors = [translucent(point.color, 0.3) if point.faint else point.color for point in batch]
        whisker = colors[0] if few else "rgba(128,128,128,0.3)"
        traces.append(
            {
                "type": "scatter",
                "x": [point.x.mean for point in batch],
                "y": [point.y.mean for point in batch],
                "mode": "markers",
                "name": batch[0].label if few else "means",
                "uid": batch[0].label if few else "means",
                "cliponaxis": False,  # a point at the end of an axis is whole
                "marker": {"size": 13, "color": colors, "symbol": "diamond", "line": {"width": 1, "color": "white"}},
                "error_x": whiskers([point.x for point in batch], whisker),
                "error_y": whiskers([point.y for point in batch], whisker),
                "customdata": [point.opens for point in batch],
                "text": [f"{point.label}, mean of {point.x.n}" for point in batch],
                "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
                "showlegend": few,
            }
        )
    figure = _finished(traces, title, x_label, y_label, legend="row", x_bounds=x_bounds, y_bounds=y_bounds)
    # Below the axes: above them it would cover the title, beside them it would take half of the width
    figure.update_layout(hovermode="closest", legend=BELOW, margin={"t": 40 if title else 12})
    return figure


def whiskers(estimates: Sequence[Estimate], color: str) -> dict[str, object]:
    """Return the intervals as error bars of a trace."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if item.high is None else item.high - item.mean for item in estimates],
        "arrayminus": [0 if item.low is None else item.mean - item.low for item in estimates],
        "color": color,
        "thickness": 1.2,
        "visible": any(item.high is not None for item in estimates),
    }


def _positions(points: Sequence[MetricPoint], x: XAxis) -> list[float]:
    return [getattr(point, x) for point in points]


def _finished(
    traces: Sequence[Mapping[str, object]],
    title: str,
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    legend: Literal["row", "column"],
    x_bounds: Bounds = UNBOUNDED,
    y_bounds: Bounds = UNBOUNDED,
) -> go.Figure:
    layout = _layout(
        title, x_label, y_label, log_x=log_x, log_y=log_y, legend=legend, x_bounds=x_bounds, y_bounds=y_bounds
    )
    return go.Figure(traces, {"template": "none", **layout})


def _layout(
    title: str,
    x_label: str,
    y_label: str,
    *,
    log_x: bool,
    log_y: bool,
    legend: Literal["row", "column"] | None,
    x_bounds: Bounds = UNBOUNDED,
    y_bounds: Bounds = UNBOUNDED,
) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.97},
        "margin": MARGIN | {"t": 46 if legend == "row" else 40},
        "hovermode": "x unified",
        "showlegend": legend is not None,
        "legend": _ROW if legend == "row" else _COLUMN,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        # A change of the axes resets the zoom
        "uirevision": f"{x_label}-{log_x}-{log_y}",
        "xaxis": number_axis(x_label, x_bounds, log=log_x),
        "yaxis": number_axis(y_label, y_bounds, log=log_y),
    }
