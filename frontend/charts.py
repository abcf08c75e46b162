"""From data to Plotly figures. No Streamlit in here, and no colours of the theme: the page adds those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from backend.shared.contracts import MetricPoint, MetricSeries
from frontend.aggregate import Estimate
from frontend.colors import PALETTE, translucent

XAxis = Literal["step", "epoch", "seconds"]
X_LABELS: dict[XAxis, str] = {"step": "step", "epoch": "epoch", "seconds": "seconds of training"}


@dataclass(frozen=True)
class Panel:
    """One chart of the run page: metrics that share a unit."""

    title: str
    metrics: tuple[str, ...]
    unit: str


METRIC_LABELS = {
    "loss": "loss",
    "cross_entropy": "cross-entropy",
    "validation_cross_entropy": "cross-entropy, validation",
    "penalty": "penalty",
    "train_accuracy": "accuracy, training",
    "validation_accuracy": "accuracy, validation",
    "gradient_norm": "‖∇ log p(x)‖",
    "gradient_norm_log_prob": "‖∇ log p(y|x)‖",
    "gradient_norm_margin": "‖∇ margin‖",
    "lambda_": "λ in force",
    "learning_rate": "learning rate",
    "weight_gradient_norm": "‖∇ loss‖ by the weights",
    "throughput": "images per second",
}
PANELS = (
    Panel("Loss", ("loss", "cross_entropy", "validation_cross_entropy"), "nats"),
    Panel("Accuracy", ("train_accuracy", "validation_accuracy"), "share right"),
    Panel("Penalty", ("penalty",), "‖∇ log p‖ᵏ, before λ"),
    Panel("Gradient norms", ("gradient_norm", "gradient_norm_log_prob", "gradient_norm_margin"), "L2, [0, 1] pixels"),
)
SECONDARY_PANELS = (
    Panel("λ in force", ("lambda_",), "λ"),
    Panel("Learning rate", ("learning_rate",), "first group"),
    Panel("Gradient by the weights", ("weight_gradient_norm",), "L2, before clipping"),
    Panel("Speed", ("throughput",), "images per second"),
)
MAX_LEGEND = 12
MAX_MARKERS = 600  # on a chart of many curves: each is an element of the page
# Room for what stands at the axes; where it does not suffice, Plotly draws a second time
MARGIN = {"l": 58, "r": 30, "t": 40, "b": 50}
_ROW = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right", "font": {"size": 11}}
BELOW = {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "xanchor": "left", "font": {"size": 11}}
_COLUMN = {"orientation": "v", "y": 1, "x": 1.04, "xanchor": "left", "font": {"size": 11}}


@dataclass(frozen=True)
class Point:
    """One group of runs in a scatter: a mean over seeds in both directions."""

    label: str
    x: Estimate
    y: Estimate
    color: str
    opens: int  # the run that a click opens
    faint: bool = False  # dominated by another point


@dataclass(frozen=True)
class RunPoint:
    """One run in a scatter."""

    label: str
    x: float
    y: float
    color: str
    opens: int
    faint: bool = False


def metric_label(name: str) -> str:
    return METRIC_LABELS.get(name, name.replace("_", " "))


def curves(
    panel: Panel, series: Sequence[MetricSeries], *, x: XAxis = "step", log_x: bool = False, log_y: bool = False
) -> dict[str, Any]:
    """The metrics of one panel, of one run: a figure as plotly.js takes it.

    Plotly's Python checks took nine tenths of a refresh of the run's page; the tests have them check this once.
    """
    by_name = {item.name: item for item in series}
    traces = [
        {
            "type": "scatter", "x": _positions(points, x), "y": [point.value for point in points],
            "name": metric_label(name), "uid": name, "mode": "lines+markers" if len(points) < 60 else "lines",
            "marker": {"size": 4}, "hovertemplate": "%{y:.4g}",
            "line": {"color": PALETTE[place], "width": 1.8,
                     "dash": "dot" if name.startswith("validation") else "solid"},
        }
        for place, name in enumerate(panel.metrics) if name in by_name for points in [by_name[name].points]
    ]
    return {"data": traces, "layout": _layout(panel.title, X_LABELS[x], panel.unit, log_x=log_x, log_y=log_y,
                                              legend="row" if len(traces) > 1 else None)}


def overlay(
    title: str, unit: str, series: Sequence[MetricSeries], names: Mapping[int, str], colors: Mapping[int, str], *,
    x: XAxis = "step", log_x: bool = False, log_y: bool = False, smoothing: float = 0.0,
) -> go.Figure:
    """One metric of several runs, each in its own colour; smoothed (see `smoothed`), the raw trace stays, faint."""
    traces: list[dict[str, object]] = []  # Plotly checks a list at once in half the time of one after the other
    few = sum(len(item.points) for item in series) < MAX_MARKERS
    for item in sorted(series, key=lambda item: item.run):
        if item.run not in names:
            continue
        positions, values = _positions(item.points, x), [point.value for point in item.points]
        if smoothing:
            traces.append({
                "type": "scatter", "x": positions, "y": values, "uid": f"{item.run}-raw", "mode": "lines",
                "opacity": 0.25, "hoverinfo": "skip", "line": {"color": colors[item.run], "width": 1},
                "showlegend": False, "legendgroup": str(item.run),
            })
        traces.append({
            "type": "scatter", "x": positions, "y": smoothed(values, smoothing) if smoothing else values,
            "name": names[item.run], "legendgroup": str(item.run), "uid": str(item.run), "marker": {"size": 4},
            "mode": "lines+markers" if few and len(item.points) < 60 else "lines", "hovertemplate": "%{y:.4g}",
            "line": {"color": colors[item.run], "width": 1.6}, "customdata": [item.run] * len(item.points),
        })
    return _finished(traces, title, X_LABELS[x], unit, log_x=log_x, log_y=log_y, legend="column")


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Exponential moving average: s_t = Σ w^(t−i) x_i / Σ w^(t−i), so that the first value is itself.

    Args:
        values: in order of time.
        weight: w of the past, 0 (none) to below 1.
    """
    found, total, mass = [], 0.0, 0.0
    for value in values:
        total, mass = weight * total + value, weight * mass + 1
        found.append(total / mass)
    return found


def scatter(
    title: str, x_label: str, y_label: str, points: Sequence[Point], runs: Sequence[RunPoint]
) -> go.Figure:
    """Means over seeds with their intervals in both directions, every run behind them, small; dominated ones faint."""
    traces: list[dict[str, object]] = []
    front = sorted((point.x.mean, point.y.mean) for point in points if not point.faint)
    if len(front) < len(points):
        traces.append({
            "type": "scatter", "x": [x for x, _ in front], "y": [y for _, y in front], "mode": "lines", "uid": "front",
            "name": "not dominated", "line": {"color": "rgba(128,128,128,0.7)", "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
        })
    traces.append({
        "type": "scatter", "x": [run.x for run in runs], "y": [run.y for run in runs], "mode": "markers",
        "name": "single runs", "uid": "runs", "text": [run.label for run in runs],
        "marker": {"size": 7, "color": [translucent(run.color, 0.15 if run.faint else 0.5) for run in runs]},
        "customdata": [run.opens for run in runs], "showlegend": False,
        "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
    })
    # A legend tells few groups apart; of many, one trace for all keeps the browser quick
    few = len(points) <= MAX_LEGEND
    for batch in [[point] for point in points] if few else [points]:
        colors = [translucent(point.color, 0.3) if point.faint else point.color for point in batch]
        whisker = colors[0] if few else "rgba(128,128,128,0.3)"
        traces.append({
            "type": "scatter", "x": [point.x.mean for point in batch], "y": [point.y.mean for point in batch],
            "mode": "markers", "name": batch[0].label if few else "means", "uid": batch[0].label if few else "means",
            "marker": {"size": 13, "color": colors, "symbol": "diamond", "line": {"width": 1, "color": "white"}},
            "error_x": _whiskers([point.x for point in batch], whisker),
            "error_y": _whiskers([point.y for point in batch], whisker),
            "customdata": [point.opens for point in batch],
            "text": [f"{point.label}, mean of {point.x.n}" for point in batch],
            "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>", "showlegend": few,
        })
    figure = _finished(traces, title, x_label, y_label, legend="row")
    # Below the axes: above them it would lie over the title, and beside them it would take half of the width
    figure.update_layout(hovermode="closest", legend=BELOW, margin={"t": 40 if title else 12})
    return figure


def _whiskers(estimates: Sequence[Estimate], color: str) -> dict[str, object]:
    halves = [estimate.half_width for estimate in estimates]
    return {"type": "data", "array": [half or 0 for half in halves], "color": color, "thickness": 1.2,
            "visible": any(half is not None for half in halves)}


def _positions(points: Sequence[MetricPoint], x: XAxis) -> list[float]:
    return [getattr(point, x) for point in points]


def _finished(
    traces: Sequence[Mapping[str, object]], title: str, x_label: str, y_label: str, *, log_x: bool = False,
    log_y: bool = False, legend: Literal["row", "column"],
) -> go.Figure:
    layout = _layout(title, x_label, y_label, log_x=log_x, log_y=log_y, legend=legend)
    return go.Figure(traces, {"template": "none", **layout})


def _layout(
    title: str, x_label: str, y_label: str, *, log_x: bool, log_y: bool, legend: Literal["row", "column"] | None
) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.97},
        "margin": MARGIN | {"t": 46 if legend == "row" else 40}, "hovermode": "x unified",
        "showlegend": legend is not None, "legend": _ROW if legend == "row" else _COLUMN,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font": {"size": 12},
        # Zoom belongs to one pair of axes; a change of scale starts afresh
        "uirevision": f"{x_label}-{log_x}-{log_y}",
        "xaxis": _axis(x_label, log=log_x), "yaxis": _axis(y_label, log=log_y),
    }


def _axis(label: str, *, log: bool) -> dict[str, Any]:
    return {"title": {"text": label, "standoff": 6}, "type": "log" if log else "linear", "automargin": True}
