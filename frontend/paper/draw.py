"""Draws the figures again from their numbers: python draw.py

Reads figures/figures.json (labels and colours) and figures/NAME.csv (a row per point), and writes figures/NAME.pdf and
figures/NAME.svg. It needs matplotlib alone.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

POINTS = 8  # size of all text
CHARACTER = 0.55 * POINTS / 72  # inches, a mean
HEIGHT = 1.75  # inches, of a row of panels
MARKERS = "os^DvPX<>ph"
DASHES: list[Any] = ["-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
STYLE: Any = {  # of matplotlib
    "font.size": POINTS,
    "axes.titlesize": POINTS,
    "axes.labelsize": POINTS,
    "xtick.labelsize": POINTS,
    "ytick.labelsize": POINTS,
    "legend.fontsize": POINTS,
    "figure.titlesize": POINTS,
    "figure.labelsize": POINTS,
    "font.family": "DejaVu Sans",  # comes with matplotlib and has λ, ∇, ε and ∞
    "text.parse_math": False,  # a dollar sign in a name is one
    "pdf.fonttype": 42,  # fonts are embedded as TrueType
    "svg.fonttype": "path",  # letters are outlines, the same on every machine
    "svg.hashsalt": "densitylab",  # the same numbers give the same file
    "legend.handlelength": 2.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
}

FRONT = "Pareto front; hollow: dominated"
MARK = 3  # points, half the side of a point's square
BAR = 1  # points, half the width of an interval's bar with room beside it
TICK = 0.3  # inches between the λ of an axis
SIDES = ((0.7, 0.5), (0.7, -0.5), (-0.7, 0.5), (-0.7, -0.5), (1, 0), (-1, 0), (0, 1), (0, -1))  # of a point
Row = dict[str, str]
Box = tuple[float, float, float, float]  # left, bottom, right, top


@contextmanager
def drawn(layout: dict[str, Any], rows: Sequence[Row]) -> Iterator[Figure]:
    """Give the figure, in a context in which it is saved with the same style.

    Args:
        layout: `x_label`, `y_label`, `width` (inches), `colors` by line, and `lambda_at_points`, whether each point has
            its λ beside it.
        rows: the points, with the columns of the CSV file.
    """
    with rc_context(STYLE):
        yield _figure(layout, rows)


def save(figure: Figure, file: Any, form: str) -> None:
    """Write the figure as "pdf" or "svg", without the time of writing, so that equal figures are equal files."""
    figure.savefig(file, format=form, metadata={"CreationDate": None} if form == "pdf" else {"Date": None})


def _figure(layout: dict[str, Any], rows: Sequence[Row]) -> Figure:
    titles = list(dict.fromkeys(row["panel"] for row in rows))
    columns = len(titles) if len(titles) < 4 else 2 if len(titles) == 4 else 3
    lines = math.ceil(len(titles) / columns)
    width = layout["width"]
    figure = Figure(figsize=(width, 1), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    placed = _positions([row["x"] for row in rows], width / columns - 0.7)
    for axes, title in zip(grid, titles, strict=False):
        _panel(axes, [row for row in rows if row["panel"] == title], layout["colors"], placed)
        if len(titles) > 1:
            axes.set_title(_wrapped(title, width / columns - 0.3))
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel(_wrapped(layout["y_label"], HEIGHT - 0.3))
    numbers = " (numbers: λ)" if layout["lambda_at_points"] else ""
    figure.supxlabel(_wrapped(layout["x_label"] + numbers, width))
    figure.set_figheight(HEIGHT * lines + 0.35 + _legend(figure, list(grid), width))
    if layout["lambda_at_points"]:
        figure.draw_without_rendering()  # gives the axes their final size
        for axes, title in zip(grid, titles, strict=False):
            _name_points(axes, [row for row in rows if row["panel"] == title], layout["colors"], placed)
    return figure


def _panel(axes: Axes, rows: Sequence[Row], colors: dict[str, str], placed: "Axis") -> None:
    front = sorted({(placed.at(row["x"]), float(row["y"])) for row in rows if row["dominated"] == "no"})
    if any(row["dominated"] == "yes" for row in rows):
        axes.plot(*zip(*front, strict=True), color="0.85", linewidth=3, zorder=0, label=FRONT)
    for index, (label, color) in enumerate(colors.items()):
        points = [row for row in rows if row["line"] == label]
        if not points:
            continue
        x, y = [placed.at(row["x"]) for row in points], [float(row["y"]) for row in points]
        axes.errorbar(
            x,
            y,
            xerr=_bars(points, "x") if any(row["x_low"] for row in points) else None,
            yerr=_bars(points, "y"),
            label=label,
            color=color,
            marker=MARKERS[index % len(MARKERS)],
            linestyle=DASHES[index % len(DASHES)] if len(points) > 1 else "none",
            markersize=4,
            linewidth=1.1,
            elinewidth=0.5,
            capsize=1.5,
            markeredgecolor="white",
            markeredgewidth=0.4,
        )
        beaten = [place for place, row in zip(zip(x, y, strict=True), points, strict=True) if row["dominated"] == "yes"]
        axes.plot(
            [place[0] for place in beaten],
            [place[1] for place in beaten],
            linestyle="none",
            marker=MARKERS[index % len(MARKERS)],
            markersize=4,
            markerfacecolor="white",
            markeredgecolor=color,
            markeredgewidth=0.8,
            zorder=3,
        )
    if placed.ticks is not None:
        axes.set_xticks(list(placed.ticks), list(placed.ticks.values()))
    axes.grid(alpha=0.3, linewidth=0.4)


def _name_points(axes: Axes, rows: Sequence[Row], colors: dict[str, str], placed: "Axis") -> None:
    """Write the λ of each point beside it in the colour of its line, where no other λ, no point and no interval is,
    once where several lines begin at one baseline. The axes have their final size, and the texts lie in them."""
    in_points = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    places = {(placed.at(row["x"]), float(row["y"])): None for row in rows}
    marks = {place: [float(at) * in_points for at in axes.transData.transform(place)] for place in places}
    taken = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks.values()]
    for row in rows:
        for low, high in _intervals(row, placed):
            (x_low, y_low), (x_high, y_high) = axes.transData.transform([low, high]) * in_points
            taken.append((x_low - BAR, y_low - BAR, x_high + BAR, y_high + BAR))
    left, bottom, right, top = (float(end) * in_points for end in axes.get_window_extent().extents)

    def lost(box: Box) -> float:
        whole = (box[2] - box[0]) * (box[3] - box[1])
        return whole - _shared(box, (left, bottom, right, top)) + sum(_shared(box, other) for other in taken)

    named = set()
    for index, (label, color) in enumerate(colors.items()):
        for row in [row for row in rows if row["line"] == label and row["lambda"]]:
            place, text = (placed.at(row["x"]), float(row["y"])), f"{float(row['lambda']):g}"
            if (place, text) in named:
                continue
            named.add((place, text))
            size = len(text) * CHARACTER * 72 + 1, float(POINTS)
            # Another line's sides first, so that equal lines are named on different sides
            sides = [*SIDES[index % len(SIDES) :], *SIDES[: index % len(SIDES)]]
            offered = [(side, _box(marks[place], size, side)) for side in [*sides, *((2 * x, 2 * y) for x, y in sides)]]
            (x, y), box = min(offered, key=lambda item: lost(item[1]))
            taken.append(box)
            axes.annotate(
                text,
                place,
                xytext=(4 * x, 4 * y),
                textcoords="offset points",
                ha="center" if x == 0 else "left" if x > 0 else "right",
                va="center" if y == 0 else "bottom" if y > 0 else "top",
                color=color,
                zorder=4,
                in_layout=False,
                path_effects=[withStroke(linewidth=1.5, foreground="white")],
            )


def _intervals(row: Row, placed: "Axis") -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Yield the ends of the point's intervals."""
    x, y = placed.at(row["x"]), float(row["y"])
    if row["x_low"]:
        yield (float(row["x_low"]), y), (float(row["x_high"]), y)
    if row["y_low"]:
        yield (x, float(row["y_low"])), (x, float(row["y_high"]))


def _box(mark: Sequence[float], size: tuple[float, float], side: tuple[float, float]) -> Box:
    """Return the box of a text of this size at this side of a point, in points."""
    corner = [
        at + 4 * way - (length / 2 if way == 0 else 0 if way > 0 else length)
        for at, way, length in zip(mark, side, size, strict=True)
    ]
    return corner[0], corner[1], corner[0] + size[0], corner[1] + size[1]


def _shared(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    wide, high = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    return max(wide, 0.0) * max(high, 0.0)


class Axis:
    """Positions on the x axis: numbers as they are, λ by its logarithm with 0 at the left end, texts in their order."""

    def __init__(self, at: Callable[[str], float], ticks: dict[float, str] | None) -> None:
        self.at = at
        self.ticks = ticks  # None: as matplotlib chooses


def _positions(values: Sequence[str], inches: float) -> Axis:
    """Return the positions of the values on an axis of this length."""
    try:
        numbers = sorted({float(value) for value in values})
    except ValueError:
        numbers = [math.inf]
    if not all(map(math.isfinite, numbers)):
        names = list(dict.fromkeys(values))
        return Axis(names.index, {float(place): name for place, name in enumerate(names)})
    positive = [number for number in numbers if number > 0]
    if numbers[0] < 0 or not positive or positive[-1] < 10 * positive[0]:
        return Axis(float, None)
    left = math.log10(positive[0]) - 1

    def at(value: str) -> float:
        return left if float(value) == 0 else math.log10(float(value))

    decades = [10.0**power for power in range(math.ceil(left + 1), math.floor(at(str(positive[-1]))) + 1)]
    gaps = [math.log10(after / before) for before, after in pairwise(positive)]
    fit = min(gaps) * inches / (math.log10(positive[-1]) - left) >= TICK
    shown = positive if fit or len(decades) < 2 else decades
    every = 1 if fit else math.ceil(len(shown) / 4)  # at most four, which fit below a narrow panel
    ticks = {math.log10(number): f"{number:g}" for number in shown[::every]}
    return Axis(at, {left: "0", **ticks} if numbers[0] == 0 else ticks)


def _bars(points: Sequence[Row], axis: str) -> list[list[float]]:
    """Return the distances to both ends of the intervals; 0 where there is none."""
    return [
        [abs(float(row[axis]) - float(row[f"{axis}_{end}"])) if row[f"{axis}_{end}"] else 0.0 for row in points]
        for end in ("low", "high")
    ]


def _legend(figure: Figure, grid: Sequence[Axes], width: float) -> float:
    """Draw the legend above the panels, in as many columns as fit; return its height in inches."""
    handles: dict[str, Any] = {}
    for axes in grid:
        named: list[Any] = [*axes.containers, *(line for line in axes.lines if line.get_label() == FRONT)]
        for handle in named:
            label = str(handle.get_label())
            if label not in handles or _points(handle) > _points(handles[label]):
                handles[label] = handle  # a line of one point has no dashes to show
    if len(handles) < 2:
        return 0.0
    labels = [_wrapped(label, width - 0.6) for label in handles]
    for columns in (3, 2, 1):
        legend = figure.legend(list(handles.values()), labels, loc="outside upper center", ncols=columns, frameon=False)
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or columns == 1:
            return float(box.height / figure.dpi)
        legend.remove()
    raise AssertionError("unreachable")


def _points(handle: Any) -> int:
    return len((handle if hasattr(handle, "get_xdata") else handle.lines[0]).get_xdata())


def _wrapped(text: str, inches: float) -> str:
    """Break the text into lines, but not within "ε = 0.05", nor before an arrow."""
    return fill(re.sub(r" (?=[=↑↓ε])|(?<==) ", "\N{NO-BREAK SPACE}", text), max(int(inches / CHARACTER), 8))


def main() -> None:
    folder = Path(__file__).parent / "figures"
    layouts = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    for name, layout in layouts.items():
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for form in ("pdf", "svg"):
            with drawn(layout, rows) as figure:
                save(figure, folder / f"{name}.{form}", form)
            print(folder / f"{name}.{form}")


if __name__ == "__main__":
    main()
