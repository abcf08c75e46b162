"""Plotly figures of evaluation results, drawn as the catalog's plots specify."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from densitylab.backend.shared.contracts import CatalogPlot, Curve, Evaluation
from densitylab.backend.shared.statistics.bounds import UNBOUNDED, Bounds
from densitylab.frontend.analysis.colors import PALETTE, translucent
from densitylab.frontend.analysis.formatting import number, readable
from densitylab.frontend.analysis.group_names import names_of_x
from densitylab.frontend.analysis.sample_arrays import Arrays
from densitylab.frontend.charts.axes import number_axis
from densitylab.frontend.charts.figures import BELOW, MARGIN
from densitylab.frontend.client.catalog import Catalog

GREY = "rgba(128,128,128,0.8)"


@dataclass(frozen=True)
class Trace:
    """A curve with its intervals; `clicks` are the values of clicked points (None: not clickable)."""

    label: str
    color: str
    curve: Curve
    clicks: Sequence[str | int | None] = ()
    bounds: Bounds = UNBOUNDED  # of the values
    x_names: Sequence[str] = ()  # of x = 0, 1, ...; empty: x is a number
    dash: str = "solid"  # of a line
    bars: bool = False  # the intervals of a line are bars, not a band


@dataclass(frozen=True)
class Spread:
    """Values of single test images, with the controls' (mean, low, high) by name."""

    label: str
    color: str
    values: np.ndarray  # (N,); values that are not finite are left out
    controls: dict[str, tuple[float, float | None, float | None]] = field(default_factory=dict)
    click: str | None = None
    indices: np.ndarray | None = None  # of the images in their split; None: the first ones


def plots_by_title(
    evaluations: Sequence[Evaluation], catalog: Catalog
) -> dict[str, list[tuple[Evaluation, CatalogPlot]]]:
    """Return the plots of the evaluations by title, each with the evaluations that share it."""
    by_title: dict[str, list[tuple[Evaluation, CatalogPlot]]] = {}
    for item in evaluations:
        entry = catalog.entry("evaluation", item.key)
        for plot in entry.plots if entry else ():
            names = item.values if plot.mark == "violins" else item.curves
            if any(name in names for name in plot.names):
                by_title.setdefault(plot.title, []).append((item, plot))
    return by_title


def images_link(item: Evaluation, plot: CatalogPlot, name: str, x: float) -> str | None:
    """Return the link parameter of the test images behind a point; None where the plot has no images."""
    return f"{item.name}|{plot.title}|{name}|{x!r}" if plot.images else None


def traces(drawn: Sequence[tuple[Evaluation, CatalogPlot]], catalog: Catalog, dataset: str = "") -> list[Trace]:
    """Return the curves of a chart, each with its colour and the images behind its points. `dataset` is the key of the
    data set that names the groups of images."""
    curves: list[Trace] = []
    for item, plot, name in curves_of(drawn):
        curve = item.curves[name]
        curves.append(
            Trace(
                trace_label(item, plot, name, drawn, catalog),
                PALETTE[len(curves) % len(PALETTE)],
                curve,
                [images_link(item, plot, name, x) for x in curve.x],
                catalog.bounds(item.key, name),
                names_of_x(curve, catalog, dataset, item.params),
            )
        )
    return curves


def curves_of(
    drawn: Sequence[tuple[Evaluation, CatalogPlot]],
) -> Iterator[tuple[Evaluation, CatalogPlot, str]]:
    for item, plot in drawn:
        yield from ((item, plot, name) for name in plot.names if name in item.curves)


def trace_label(
    item: Evaluation, plot: CatalogPlot, name: str, drawn: Sequence[tuple[Evaluation, CatalogPlot]], catalog: Catalog
) -> str:
    """Return the shortest words that tell a curve from the others of its chart."""
    whose = item.name if item.name != item.key else catalog.label("evaluation", item.key).rpartition(", ")[2]
    if len(plot.names) == 1:
        return readable(whose)
    words = distinct_words(name, plot.names)
    return words if len(drawn) == 1 else f"{readable(whose)}: {words}"


def distinct_words(name: str, names: Sequence[str]) -> str:
    """Return the name without the first and last words that all names share."""
    parts = [other.split("_") for other in names]
    most = min(map(len, parts)) - 1  # each name keeps at least a word
    start = next((index for index in range(most) if len({part[index] for part in parts}) > 1), most)
    end = next((index for index in range(most - start) if len({part[-1 - index] for part in parts}) > 1), most - start)
    return readable("_".join(name.split("_")[start : len(name.split("_")) - end]))


def spread_of(
    item: Evaluation, plot: CatalogPlot, name: str, arrays: Arrays, *, label: str, color: str, click: str | None
) -> Spread:
    """Return the values of single images with the plot's controls from the same evaluation."""
    controls = {}
    for control in plot.controls:
        value = item.values.get(f"{name}_{control}") or item.values.get(control)
        if value and value.value is not None:
            controls[control] = (value.value, value.low, value.high)
    return Spread(label, color, arrays[name].astype(float), controls, click, arrays.get("indices"))


def draw(plot: CatalogPlot, shown: Sequence[Trace]) -> go.Figure:
    """Draw lines with bands, bars with whiskers, or histograms."""
    figure = go.Figure()
    for trace in shown:
        if plot.mark == "bars":
            _bars(figure, trace)
        elif plot.mark == "steps":
            _steps(figure, trace)
        else:
            _line(figure, trace)
    if plot.diagonal:
        figure.add_scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            name=plot.diagonal,
            uid="diagonal",
            hoverinfo="skip",
            line={"color": GREY, "width": 1, "dash": "dash"},
        )
    first = shown[0]
    figure.update_xaxes(number_axis(first.curve.x_label))
    figure.update_yaxes(number_axis(first.curve.y_label, first.bounds))
    if plot.mark == "bars":
        figure.update_layout(barmode="group")
        figure.update_xaxes(dtick=1)
    if first.x_names:
        figure.update_xaxes(tickvals=list(range(len(first.x_names))), ticktext=list(first.x_names))
    return _finished(figure, plot.title)


def violins(plot: CatalogPlot, shown: Sequence[Spread]) -> go.Figure:
    """A violin with every image as a point, and what chance would give as marks beside it."""
    figure = go.Figure()
    symbols = dict(zip(plot.controls, ("diamond-open", "x-open", "square-open"), strict=False))
    for spread in shown:
        known = spread.values[np.isfinite(spread.values)].tolist()
        figure.add_violin(
            x=[spread.label] * len(known),
            y=known,
            name=spread.label,
            uid=spread.label,
            points="all",
            jitter=0.4,
            pointpos=0,
            spanmode="hard",
            line={"color": spread.color, "width": 1.4},
            fillcolor=translucent(spread.color, 0.15),
            meanline={"visible": True},
            marker={"size": 3, "color": translucent(spread.color, 0.45)},
            customdata=[spread.click] * len(known),
            hoveron="points",
            hovertemplate="%{y:.4g}<extra></extra>",
            showlegend=False,
        )
    for control in plot.controls:
        marks = [(spread.label, *spread.controls[control]) for spread in shown if control in spread.controls]
        figure.add_scatter(
            x=[label for label, *_ in marks],
            y=[mean for _, mean, *_ in marks],
            mode="markers",
            uid=control,
            name=readable(control),
            marker={"symbol": symbols[control], "size": 11, "color": GREY, "line": {"width": 2, "color": GREY}},
            error_y=_whiskers(
                [mean for _, mean, *_ in marks], [low for *_, low, _ in marks], [high for *_, high in marks], GREY
            ),
            hovertemplate=f"{readable(control)}: %{{y:.4g}}<extra></extra>",
        )
    figure.update_yaxes(automargin=True)
    figure.update_xaxes(automargin=True)
    return _finished(figure, plot.title)


def curve_table(shown: Sequence[Trace]) -> pd.DataFrame:
    """Return a row per point."""
    return pd.DataFrame(
        [
            {
                "curve": trace.label,
                trace.curve.x_label or "x": x,
                trace.curve.y_label or "y": y,
                "low": low,
                "high": high,
            }
            for trace in shown
            for x, y, low, high in zip(
                trace.curve.x,
                trace.curve.y,
                _bounds(trace.curve.low, trace.curve),
                _bounds(trace.curve.high, trace.curve),
                strict=True,
            )
        ]
    )


def spread_table(shown: Sequence[Spread]) -> pd.DataFrame:
    """Return a row per test image and value, followed by the controls' means."""
    rows: list[dict[str, object]] = [
        {"value of": spread.label, "test image": str(index), "value": float(value) if np.isfinite(value) else None}
        for spread in shown
        for index, value in zip(
            range(len(spread.values)) if spread.indices is None else spread.indices, spread.values, strict=True
        )
    ]
    rows += [
        {"value of": spread.label, "test image": f"mean, {readable(control)}", "value": mean}
        for spread in shown
        for control, (mean, _, _) in spread.controls.items()
    ]
    return pd.DataFrame(rows)


def description(title: str, shown: Sequence[Trace]) -> str:
    """Return the chart in words: each curve's first and last point."""
    parts = [
        f"{trace.label}: from {number(trace.curve.y[0])} at {number(trace.curve.x[0])} to "
        f"{number(trace.curve.y[-1])} at {number(trace.curve.x[-1])}"
        for trace in shown
        if trace.curve.x
    ]
    return f"{title}. {'; '.join(parts)}."


def _line(figure: go.Figure, trace: Trace) -> None:
    curve = trace.curve
    banded = [
        (x, low, high)
        for x, low, high in zip(curve.x, _bounds(curve.low, curve), _bounds(curve.high, curve), strict=True)
        if low is not None and high is not None
    ]
    if banded and not trace.bars:
        figure.add_scatter(
            x=[x for x, *_ in banded] + [x for x, *_ in reversed(banded)],
            y=[high for *_, high in banded] + [low for _, low, _ in reversed(banded)],
            fill="toself",
            mode="lines",
            fillcolor=translucent(trace.color, 0.13),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=trace.label,
            uid=f"{trace.label}-band",
        )
    dense = len(curve.x) > 30
    figure.add_scatter(
        x=curve.x,
        y=curve.y,
        mode="lines" if dense else "lines+markers",
        name=trace.label,
        uid=trace.label,
        legendgroup=trace.label,
        line={"color": trace.color, "width": 2, "dash": trace.dash},
        marker={"size": 7},
        error_y=_whiskers(curve.y, _bounds(curve.low, curve), _bounds(curve.high, curve), translucent(trace.color, 0.6))
        if trace.bars
        else None,
        customdata=list(trace.clicks) or None,
        hovertemplate=f"{trace.label}<br>%{{x:.4g}}: %{{y:.4g}}<extra></extra>",
    )


def _bars(figure: go.Figure, trace: Trace) -> None:
    curve = trace.curve
    figure.add_bar(
        x=curve.x,
        y=curve.y,
        name=trace.label,
        uid=trace.label,
        marker={"color": translucent(trace.color, 0.75)},
        error_y=_whiskers(curve.y, _bounds(curve.low, curve), _bounds(curve.high, curve), GREY),
        customdata=list(trace.clicks) or None,
        hovertemplate=f"{trace.label}<br>%{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _steps(figure: go.Figure, trace: Trace) -> None:
    figure.add_scatter(
        x=trace.curve.x,
        y=trace.curve.y,
        mode="lines",
        name=trace.label,
        uid=trace.label,
        fill="tozeroy",
        fillcolor=translucent(trace.color, 0.15),
        line={"color": trace.color, "width": 1.6, "shape": "hvh", "dash": trace.dash},
        customdata=list(trace.clicks) or None,
        hovertemplate=f"{trace.label}<br>%{{x:.4g}}: %{{y:.4g}}<extra></extra>",
    )


def _whiskers(
    values: Sequence[float | None], low: Sequence[float | None], high: Sequence[float | None], color: str
) -> dict[str, object]:
    def lengths(bounds: Sequence[float | None]) -> list[float]:
        return [
            abs(bound - value) if bound is not None and value is not None else 0.0
            for value, bound in zip(values, bounds, strict=True)
        ]

    return {
        "type": "data",
        "symmetric": False,
        "array": lengths(high),
        "arrayminus": lengths(low),
        "color": color,
        "thickness": 1.4,
    }


def _bounds(bounds: Sequence[float | None] | None, curve: Curve) -> Sequence[float | None]:
    return bounds if bounds is not None else [None] * len(curve.x)


def _finished(figure: go.Figure, title: str) -> go.Figure:
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
        uirevision=title,
    )
    return figure
