"""Plotly figures as SVG that needs no script, drawn by matplotlib: lines, bands, points, bars and violins."""

import io
import re
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from densitylab.frontend.analysis.colors import NEUTRAL, PALETTE
from densitylab.frontend.paper import draw
from densitylab.frontend.paper.figures import STYLE_LOCK

WIDTH, HEIGHT = 5.2, 2.6  # inches, without title and legend
_PER_PIXEL = 0.62  # points of matplotlib per pixel of Plotly
_DASHES: Mapping[str | None, Any] = {"dash": (0, (5, 2)), "dot": (0, (1, 1.5)), "dashdot": (0, (5, 1.5, 1, 1.5))}
_MARKERS = {"diamond": "D", "diamond-open": "D", "x-open": "X", "square-open": "s"}
_NUMBERED = re.compile(r' id="[a-zA-Z0-9.]+_\d+"')  # the same in every figure
_POSITIONS, _LONG = re.compile(r'( (?:d|x|y|transform)=)"([^"]*)"'), re.compile(r"-?\d+\.\d+")
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_MAX_DOTS = 60  # beside a violin
_STYLE = {**draw.STYLE, "svg.fonttype": "none"}  # text stays text: smaller, and found by a search


def to_svg(figure: go.Figure, name: str) -> str:
    """Return the figure as an SVG element with its title, its axes and its legend. Of a violin with many points some
    are drawn.

    Args:
        figure: of traces `scatter`, `bar` and `violin`.
        name: of the element in its document, of letters and digits; the groups of traces are `NAME-0`, `NAME-1`, ....
    """
    file = io.StringIO()
    with STYLE_LOCK, rc_context(_STYLE):
        _drawn(figure, name).savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    text = file.getvalue()
    return _shortened(text[text.index("<svg") :])


def _shortened(svg: str) -> str:
    """Return the element with positions to a tenth of a point, without line ends and without numbers as names, which
    are the same in every figure."""
    svg = _POSITIONS.sub(lambda found: f'{found[1]}"{_LONG.sub(_rounded, " ".join(found[2].split()))}"', svg)
    return re.sub(r">\s+<", "><", _NUMBERED.sub("", svg))


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _drawn(figure: go.Figure, name: str) -> Figure:
    layout = figure.layout
    canvas = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = canvas.subplots()
    bars = [trace for trace in figure.data if trace.type == "bar"]
    places = _Places(figure)
    legend: list[tuple[Any, str]] = []
    for index, trace in enumerate(figure.data):
        color = _first_color(trace) or PALETTE[index % len(PALETTE)]
        x, y = places.of(trace.x), _numbers(trace.y)
        if trace.type == "bar":
            width = 0.8 / len(bars)
            x = x + width * (bars.index(trace) - (len(bars) - 1) / 2)
            axes.bar(x, y, width, color=_rgba(trace.marker.color or color), gid=f"{name}-{index}")
        elif trace.type == "violin":
            _violin(axes, x, y, color, f"{name}-{index}")
        else:
            _scatter(axes, trace, x, y, color, f"{name}-{index}")
        _whiskers(axes, trace, x, y)
        if layout.showlegend and trace.showlegend is not False and trace.name:
            legend.append((_handle(trace, color), trace.name))
    places.mark(axes)
    _finish_axis(layout.xaxis, "x", axes)
    _finish_axis(layout.yaxis, "y", axes)
    axes.grid(alpha=0.3, linewidth=0.4)
    axes.set_axisbelow(True)
    title = fill(layout.title.text or "", 66)
    if title:
        axes.set_title(title, loc="left", fontweight="bold")
    canvas.set_figheight(HEIGHT + 0.15 * title.count("\n") + _add_legend(canvas, legend))
    return canvas


class _Places:
    """Positions on the x axis: numbers as they are, texts in the order in which they come."""

    def __init__(self, figure: go.Figure) -> None:
        values = [value for trace in figure.data for value in _listed(trace.x)]
        texts = any(isinstance(value, str) for value in values)
        self._texts = list(dict.fromkeys(map(str, values))) if texts else []

    def of(self, values: Sequence[Any] | None) -> np.ndarray:
        """Return the positions."""
        if self._texts:
            return np.array([self._texts.index(str(value)) for value in _listed(values)], float)
        return _numbers(values)

    def mark(self, axes: Axes) -> None:
        """Write the texts below the axis."""
        if self._texts:
            room = max(int(90 / len(self._texts)), 8)
            axes.set_xticks(range(len(self._texts)), [fill(text, room) for text in self._texts])


def _scatter(axes: Axes, trace: go.Scatter, x: np.ndarray, y: np.ndarray, color: str, gid: str) -> None:
    if trace.fill == "toself":
        axes.fill(x, y, color=_rgba(trace.fillcolor), linewidth=0, gid=gid)
        return
    steps = trace.line.shape == "hvh"
    if trace.fill == "tozeroy":
        axes.fill_between(x, y, step="mid" if steps else None, color=_rgba(trace.fillcolor), linewidth=0)
    mode = trace.mode or "lines+markers"
    if "lines" in mode:
        axes.plot(
            x,
            y,
            color=_rgba(trace.line.color or color),
            linewidth=_PER_PIXEL * (trace.line.width or 2),
            linestyle=_DASHES.get(trace.line.dash, "-"),
            drawstyle="steps-mid" if steps else "default",
            alpha=trace.opacity,
            gid=gid if "markers" not in mode else None,
        )
    if "markers" in mode:
        marker = trace.marker
        own = marker.color if marker.color is not None else trace.line.color or color
        colors = [_rgba(own)] * len(x) if isinstance(own, str) else [_rgba(item) for item in own]
        hollow = str(marker.symbol).endswith("-open")
        axes.scatter(
            x,
            y,
            s=(_PER_PIXEL * (marker.size or 6)) ** 2,
            marker=_MARKERS.get(marker.symbol, "o"),
            facecolors="none" if hollow else colors,
            edgecolors=colors if hollow else "none",
            linewidths=1 if hollow else 0,
            clip_on=False,
            zorder=3,
            gid=gid,
        )


def _violin(axes: Axes, x: np.ndarray, y: np.ndarray, color: str, gid: str) -> None:
    if not len(y):
        return
    if len(np.unique(y)) > 1:
        for body in axes.violinplot([y], positions=[x[0]], widths=0.8, points=50, showextrema=False)["bodies"]:  # type: ignore[attr-defined]
            body.set(facecolor=color, alpha=0.2, edgecolor=color)
    dots = y[:: -(-len(y) // _MAX_DOTS)]
    beside = np.random.default_rng(0).uniform(-0.12, 0.12, len(dots))
    axes.scatter(x[0] + beside, dots, s=3, color=color, alpha=0.45, linewidths=0, gid=gid)
    axes.hlines(y.mean(), x[0] - 0.25, x[0] + 0.25, color=color, linewidth=1)


def _whiskers(axes: Axes, trace: Any, x: np.ndarray, y: np.ndarray) -> None:
    if trace.type == "violin" or (trace.error_y.array is None and trace.error_x.array is None):
        return
    axes.errorbar(
        x,
        y,
        xerr=_lengths(trace.error_x),
        yerr=_lengths(trace.error_y),
        fmt="none",
        ecolor=_rgba(trace.error_y.color or NEUTRAL),
        elinewidth=0.8,
        capsize=1.5,
    )


def _lengths(bars: Any) -> np.ndarray | None:
    """Return the distances to the lower and the upper ends."""
    if bars.array is None or bars.visible is False:
        return None
    return np.stack([_numbers(bars.array if bars.arrayminus is None else bars.arrayminus), _numbers(bars.array)])


def _finish_axis(axis: Any, name: str, axes: Axes) -> None:
    """Apply label, scale, marks and the bounds of possible values."""
    width = WIDTH if name == "x" else HEIGHT
    getattr(axes, f"set_{name}label")(fill(axis.title.text or "", int(width / draw.CHARACTER)))
    if axis.type == "log":
        getattr(axes, f"set_{name}scale")("log")
        # Matplotlib's own need its mathematics
        getattr(axes, f"{name}axis").set(major_formatter="{x:g}", minor_formatter="")
    if axis.dtick == 1:
        getattr(axes, f"{name}axis").set_major_locator(MaxNLocator(integer=True))
    if axis.tickvals is not None:
        getattr(axes, f"set_{name}ticks")(list(axis.tickvals), [str(text) for text in axis.ticktext])
    low, high = getattr(axes, f"get_{name}lim")()
    ends = axis.autorangeoptions
    low = low if ends.clipmin is None else max(low, ends.clipmin)
    high = high if ends.clipmax is None else min(high, ends.clipmax)
    if low < high:
        getattr(axes, f"set_{name}lim")(low, high)


def _handle(trace: Any, color: str) -> Line2D:
    """Return what stands for a trace in the legend."""
    mode = "markers" if trace.type != "scatter" else trace.mode or "lines"
    open_marker = trace.type == "scatter" and str(trace.marker.symbol).endswith("-open")
    symbol = _MARKERS.get(trace.marker.symbol, "o") if trace.type == "scatter" else "s"
    return Line2D(
        [],
        [],
        color=_rgba(color),
        linestyle=_DASHES.get(trace.line.dash, "-") if "lines" in mode else "none",
        marker=symbol if "markers" in mode else "none",
        markersize=5,
        markerfacecolor="none" if open_marker else _rgba(color),
        linewidth=1.4,
    )


def _add_legend(canvas: Figure, entries: Sequence[tuple[Any, str]]) -> float:
    """Draw the legend below the axes, in as many columns as fit; return its height in inches."""
    if not entries:
        return 0.0
    handles = [handle for handle, _ in entries]
    labels = [fill(label, 80) for _, label in entries]
    for columns in (4, 3, 2, 1):
        legend = canvas.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False)
        box = legend.get_window_extent()
        if box.width <= canvas.bbox.width or columns == 1:
            return float(box.height / canvas.dpi)
        legend.remove()
    raise AssertionError("unreachable")


def _first_color(trace: Any) -> str | None:
    line = None if trace.type == "bar" else trace.line.color
    own = line or trace.marker.color
    return own if own is None or isinstance(own, str) else own[0] if len(own) else None


def _rgba(color: str) -> Any:
    """Return a colour of CSS as matplotlib has it."""
    numbers = re.fullmatch(r"rgba?\(([^)]*)\)", color)
    if numbers is None:
        return color
    red, green, blue, *opacity = (float(part) for part in numbers[1].split(","))
    return red / 255, green / 255, blue / 255, opacity[0] if opacity else 1.0


def _listed(values: Sequence[Any] | None) -> list[Any]:
    return [] if values is None else list(values)


def _numbers(values: Sequence[Any] | None) -> np.ndarray:
    """Return the values, with NaN for those that are missing."""
    return np.array([np.nan if value is None else value for value in _listed(values)], float)
