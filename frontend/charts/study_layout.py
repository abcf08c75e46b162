"""The figures of a study as positions, labels and colours, for whatever draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts.studies import StudyColumn, StudyFigure, StudyPanel, StudyPoint
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.colors import PALETTE
from densitylab.frontend.analysis.formatting import readable
from densitylab.frontend.analysis.study_text import axis_label, column_labels, estimate_of, method_text
from densitylab.frontend.charts.lambda_response import lambda_axis
from densitylab.frontend.client.catalog import Catalog

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star", "x")


@dataclass(frozen=True)
class Style:
    """Colour and symbol of a method, the same in every panel and figure of a study."""

    color: str
    symbol: str  # a name of Plotly


@dataclass(frozen=True)
class PlacedPoint:
    """A mean over seeds in both directions; of a setting without an interval in x."""

    x: Estimate
    y: Estimate
    lambda_: float
    runs: list[int]


@dataclass(frozen=True)
class PlacedLine:
    label: str
    style: Style
    points: list[PlacedPoint]  # in order of λ or of the setting


@dataclass(frozen=True)
class PlacedPanel:
    label: str
    lines: list[PlacedLine]


@dataclass(frozen=True)
class PlacedFigure:
    """A figure; `ticks` are positions and labels of an axis of settings, empty where x is a result."""

    title: str
    x_label: str
    y_label: str
    ticks: list[tuple[float, str]]
    panels: list[PlacedPanel]


def styles(figures: Sequence[StudyFigure], catalog: Catalog) -> dict[str, Style]:
    """Return the style of each method by its label."""
    labels = dict.fromkeys(
        method_text(line.settings, catalog) for figure in figures for panel in figure.panels for line in panel.lines
    )
    return {
        label: Style(PALETTE[index % len(PALETTE)], SYMBOLS[index % len(SYMBOLS)]) for index, label in enumerate(labels)
    }


def placed(figure: StudyFigure, by_label: Mapping[str, Style], catalog: Catalog) -> PlacedFigure:
    """Return the figure with its points on the axes."""
    points = [point for panel in figure.panels for line in panel.lines for point in line.points]
    axis = _SettingAxis(figure.x, points)
    x_label = axis_label(figure.x, catalog) + (" (log, 0 at the left end)" if figure.x == "lambda_" else "")
    panels = [_panel(panel, axis, by_label, catalog) for panel in figure.panels]
    return PlacedFigure(figure.title, x_label, column_labels([figure.y], catalog)[0], axis.ticks, panels)


def _panel(panel: StudyPanel, axis: "_SettingAxis", by_label: Mapping[str, Style], catalog: Catalog) -> PlacedPanel:
    lines = []
    for line in panel.lines:
        label = method_text(line.settings, catalog)
        points = [
            PlacedPoint(axis.position(point), y, point.lambda_, point.runs)
            for point in line.points
            if (y := estimate_of(point.y)) is not None
        ]
        lines.append(PlacedLine(label, by_label[label], points))
    return PlacedPanel(panel.launch_label, lines)


class _SettingAxis:
    """The axis of a result, of λ (logarithmic, 0 at its left end), or of the values of another setting."""

    def __init__(self, x: StudyColumn | str, points: Sequence[StudyPoint]) -> None:
        self._lambda = lambda_axis(point.lambda_ for point in points) if x == "lambda_" else None
        values = [] if isinstance(x, StudyColumn) or self._lambda else [_value_text(point.setting) for point in points]
        self._values = list(dict.fromkeys(values))
        self.ticks = [(float(index), value) for index, value in enumerate(self._values)]
        if self._lambda:
            self.ticks = list(zip(self._lambda.positions, self._lambda.labels, strict=True))

    def position(self, point: StudyPoint) -> Estimate:
        if point.x is not None:
            return Estimate(point.x.mean, point.x.low, point.x.high, point.x.n)
        at = self._lambda.position(point.lambda_) if self._lambda else self._values.index(_value_text(point.setting))
        return Estimate(float(at), None, None, point.y.n)


def _value_text(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float | int) and not isinstance(value, bool) else readable(str(value))
