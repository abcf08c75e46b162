"""Results over λ on a logarithmic axis with a position for λ = 0: response curves and parallel coordinates."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import plotly.graph_objects as go

from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.backend.shared.statistics.groups import Column, Group, mean_over_seeds
from densitylab.frontend.analysis.colors import translucent
from densitylab.frontend.analysis.comparison import Comparison, column_label, short_label
from densitylab.frontend.analysis.origins import lambda_of
from densitylab.frontend.analysis.setting_names import setting_label
from densitylab.frontend.charts.axes import number_axis
from densitylab.frontend.charts.figures import BELOW, FEW_SEEDS, MARGIN, whiskers
from densitylab.frontend.client.catalog import Catalog

_CHARACTER = 6.5  # pixels of a character of a label of parallel coordinates, about


@dataclass(frozen=True)
class LambdaAxis:
    """log₁₀ λ; λ = 0 one step to the left of the smallest positive λ."""

    zero: float  # the position of λ = 0
    ticks: list[float]  # the λ with a tick

    def position(self, lambda_: float) -> float:
        return self.zero if lambda_ == 0 else math.log10(lambda_)

    @property
    def positions(self) -> list[float]:
        return [self.position(tick) for tick in self.ticks]

    @property
    def labels(self) -> list[str]:
        return [f"{tick:g}" for tick in self.ticks]


def lambda_axis(lambdas: Iterable[float]) -> LambdaAxis:
    """Return an axis with a tick at each λ, or at powers of ten and zero for more than eight."""
    ticks = sorted(set(lambdas))
    positive = [tick for tick in ticks if tick > 0]
    if len(ticks) > 8:
        powers = range(math.floor(math.log10(positive[0])), math.ceil(math.log10(positive[-1])) + 1)
        ticks = [tick for tick in ticks if tick == 0] + [10.0**power for power in powers]
    return LambdaAxis(math.log10(positive[0]) - 1 if positive else 0.0, ticks)


@dataclass(frozen=True)
class Line:
    """A family's result over λ."""

    label: str
    color: str
    points: list[tuple[float, Group, Estimate]]  # λ, group, mean over seeds


def lines(comparison: Comparison, column: Column) -> list[Line]:
    """Return a line per family of which a group has a known result; it begins at the baseline (λ = 0)."""
    drawn = []
    for family in comparison.families:
        groups = [(group.settings["lambda_"], group) for group in family.groups]
        if not any(mean_over_seeds(group, column) for _, group in groups):
            continue  # the baseline alone is no line of the family
        if groups[0][0] > 0 and family.origin is not None:
            groups.insert(0, (0.0, family.origin))
        points = [(lambda_, group, mean) for lambda_, group in groups if (mean := mean_over_seeds(group, column))]
        drawn.append(Line(family.label, family.color, points))
    return drawn


def lambda_response(comparison: Comparison, column: Column, catalog: Catalog, *, title: str = "") -> go.Figure:
    """Draw the result over λ: means, each run as a dot, and the 95 % intervals over seeds, as a band where neighbours
    have more than two seeds, else as bars."""
    drawn = lines(comparison, column)
    axis = lambda_axis(lambda_ for line in drawn for lambda_, _, _ in line.points)
    figure = go.Figure()
    for line in drawn:
        x = [axis.position(lambda_) for lambda_, _, _ in line.points]
        bands = list(_bands(x, line))
        in_bands = {at for band in bands for at, _ in band}
        for number, banded in enumerate(bands):
            figure.add_scatter(
                x=[at for at, _ in banded] + [at for at, _ in reversed(banded)],
                y=[mean.high for _, mean in banded] + [mean.low for _, mean in reversed(banded)],
                fill="toself",
                fillcolor=translucent(line.color, 0.13),
                line={"width": 0},
                hoverinfo="skip",
                mode="lines",
                name=f"{line.label}, interval",
                uid=f"{line.label}-band-{number}",
                showlegend=False,
                legendgroup=line.label,
            )
        means = [mean.mean for _, _, mean in line.points]
        figure.add_scatter(
            x=x,
            y=means,
            name=line.label,
            uid=line.label,
            mode="lines",
            line={"color": line.color, "width": 2},
            legendgroup=line.label,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=x,
            y=means,
            name=line.label,
            uid=f"{line.label}-means",
            mode="markers",
            cliponaxis=False,  # a point at the end of the axis is whole
            legendgroup=line.label,
            marker={
                "size": 9,
                "symbol": "diamond",
                "color": [comparison.colors[comparison.index_of(group)] for _, group, _ in line.points],
            },
            error_y=whiskers(
                [
                    replace(mean, low=None, high=None) if at in in_bands else mean
                    for at, (_, _, mean) in zip(x, line.points, strict=True)
                ],
                translucent(line.color, 0.6),
            ),
            showlegend=False,
            customdata=[group.runs[0].id for _, group, _ in line.points],
            text=[
                f"{comparison.labels[comparison.index_of(group)]}, mean of {mean.n}" for _, group, mean in line.points
            ],
            hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
        )
    dots = [
        (axis.position(lambda_), run, value)
        for lambda_, group in _shown(drawn)
        for run in group.runs
        if (value := group.value_of(run, column)) is not None
    ]
    figure.add_scatter(
        x=[at for at, _, _ in dots],
        y=[value for _, _, value in dots],
        mode="markers",
        name="single runs",
        uid="runs",
        marker={"size": 6, "color": [translucent(comparison.run_colors[run.id], 0.5) for _, run, _ in dots]},
        customdata=[run.id for _, run, _ in dots],
        text=[comparison.label_of(run) for _, run, _ in dots],
        hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        template="none",
        title={"text": title, "font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.97},
        margin=MARGIN | {"t": 40 if title else 12},
        hovermode="closest",
        legend=BELOW,
        showlegend=len(drawn) > 1,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        uirevision=column.result,
    )
    figure.update_xaxes(
        title={"text": "λ (log scale, 0 at the left)", "standoff": 6},
        tickvals=axis.positions,
        ticktext=axis.labels,
        automargin=True,
        zeroline=False,
    )
    bounds = catalog.bounds(column.evaluation, column.value)
    figure.update_yaxes(number_axis(column_label(column, comparison, catalog), bounds))
    return figure


def _bands(x: Sequence[float], line: Line) -> Iterator[list[tuple[float, Estimate]]]:
    """Yield the stretches of neighbouring points whose intervals are drawn as a band."""
    placed = [(at, mean) for at, (_, _, mean) in zip(x, line.points, strict=True)]
    for banded, stretch in groupby(placed, lambda item: item[1].n > FEW_SEEDS and item[1].half_width is not None):
        points = list(stretch)
        if banded and len(points) > 1:
            yield points


def _shown(drawn: Sequence[Line]) -> list[tuple[float, Group]]:
    """Return each group once, although several lines may share a baseline."""
    groups = {id(group): (lambda_, group) for line in drawn for lambda_, group, _ in line.points}
    return list(groups.values())


def parallel_coordinates(comparison: Comparison, chosen: Sequence[Column], catalog: Catalog) -> go.Figure | None:
    """Draw a line per run through λ, the other varied settings, and the results; None where no run has all of them."""
    complete = [
        (number, run)
        for number, group in enumerate(comparison.groups)
        for run in group.runs
        if all(group.value_of(run, column) is not None for column in chosen)
    ]
    if not complete or not chosen:
        return None
    dimensions = []
    for name in comparison.varied:
        dimensions.append(
            _lambda_dimension([lambda_of(run) for _, run in complete])
            if name == "lambda_"
            else _setting_dimension(name, [comparison.groups[number] for number, _ in complete], comparison, catalog)
        )
    for column in chosen:
        dimensions.append(
            {
                "label": short_label(column, comparison, catalog),
                "values": [comparison.groups[number].value_of(run, column) for number, run in complete],
                "tickformat": ".3~g",
            }
        )
    last = max(len(comparison.groups) - 1, 1)
    scale = [[number / last, color] for number, color in enumerate(comparison.colors)]
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            uid="runs",
            labelfont={"size": 12},
            tickfont={"size": 11},
            rangefont={"size": 10},
            line={
                "color": [number for number, _ in complete],
                "colorscale": scale if len(scale) > 1 else [[0, comparison.colors[0]], [1, comparison.colors[0]]],
                "cmin": 0,
                "cmax": last,
            },
        )
    )
    half = _CHARACTER * len(str(dimensions[-1]["label"])) / 2  # of a label, which is centred above its axis
    margin = {"l": 160, "r": max(70, round(half) + 8), "t": 50, "b": 20}
    figure.update_layout(template="none", margin=margin, paper_bgcolor="rgba(0,0,0,0)", font={"size": 12})
    return figure


def _lambda_dimension(lambdas: Sequence[float | None]) -> dict[str, object]:
    axis = lambda_axis(lambda_ for lambda_ in lambdas if lambda_ is not None)
    positions, labels = axis.positions, axis.labels
    unknown = min([axis.zero, *positions]) - 1
    if None in lambdas:
        positions, labels = [unknown, *positions], ["not known", *labels]
    return {
        "label": "λ (log, 0 lowest)",
        "values": [unknown if lambda_ is None else axis.position(lambda_) for lambda_ in lambdas],
        "tickvals": positions,
        "ticktext": labels,
    }


def _setting_dimension(
    name: str, groups: Sequence[Group], comparison: Comparison, catalog: Catalog
) -> dict[str, object]:
    texts = [comparison.setting_text(name, group, catalog) for group in groups]
    marks = list(dict.fromkeys(texts))
    return {
        "label": setting_label(name, groups[0].settings, catalog),
        "values": [marks.index(text) for text in texts],
        "tickvals": list(range(len(marks))),
        "ticktext": marks,
    }
