"""Two results against each other, one point per group: which groups no other beats."""

import plotly.graph_objects as go

from frontend.aggregate import Column, higher_is_better, mean_over_seeds
from frontend.catalog import Catalog
from frontend.charts import Point, RunPoint, scatter
from frontend.comparison import Comparison, column_label
from frontend.selection import dominated
from frontend.tables import all_runs


def tradeoff(
    found: Comparison, x: Column, y: Column, offered: Catalog, *, title: str = ""
) -> tuple[go.Figure, list[Point]]:
    """The chart and its points. Dominated ones are faint where both results have a direction."""
    placed = [
        (label, color, group, mean_x, mean_y)
        for label, color, group in zip(found.labels, found.colors, found.groups, strict=True)
        if (mean_x := mean_over_seeds(group, x)) and (mean_y := mean_over_seeds(group, y))
    ]
    runs = all_runs(found)
    more_x, more_y = higher_is_better(runs, x), higher_is_better(runs, y)
    faint = [False] * len(placed)
    if more_x is not None and more_y is not None:
        faint = dominated([(item[3].mean, item[4].mean) for item in placed], (more_x, more_y))
    points = [Point(label, mean_x, mean_y, color, group.runs[0].id, beaten)
              for (label, color, group, mean_x, mean_y), beaten in zip(placed, faint, strict=True)]
    single = [
        RunPoint(f"{label}, seed {run.spec.seed}", own_x, own_y, found.run_colors[run.id], run.id, beaten)
        for (label, _, group, _, _), beaten in zip(placed, faint, strict=True) for run in group.runs
        if (own_x := group.value_of(run, x)) is not None and (own_y := group.value_of(run, y)) is not None
    ]
    figure = scatter(title, _axis(x, found, offered, more_x, "→←"), _axis(y, found, offered, more_y, "↑↓"), points,
                     single)
    return figure, points


def _axis(column: Column, found: Comparison, offered: Catalog, more: bool | None, arrows: str) -> str:
    """The result in words, and in which direction better lies."""
    direction = "" if more is None else f" ({arrows[0] if more else arrows[1]} better)"
    return column_label(column, found, offered) + direction
