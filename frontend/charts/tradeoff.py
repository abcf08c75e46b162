"""A scatter plot of two results, one point per group, with the Pareto front."""

import plotly.graph_objects as go

from densitylab.backend.shared.statistics.groups import Column, higher_is_better, mean_over_seeds
from densitylab.frontend.analysis.comparison import Comparison, all_runs, column_label, dominated_groups
from densitylab.frontend.charts.figures import Point, RunPoint, scatter
from densitylab.frontend.client.catalog import Catalog


def tradeoff(
    comparison: Comparison, x: Column, y: Column, catalog: Catalog, *, title: str = ""
) -> tuple[go.Figure, list[Point]]:
    """Return the chart and its points; dominated points are faint where both results have a direction."""
    placed = [
        (label, color, group, mean_x, mean_y)
        for label, color, group in zip(comparison.labels, comparison.colors, comparison.groups, strict=True)
        if (mean_x := mean_over_seeds(group, x)) and (mean_y := mean_over_seeds(group, y))
    ]
    runs = all_runs(comparison)
    more_x, more_y = higher_is_better(runs, x), higher_is_better(runs, y)
    beaten_groups = dominated_groups(comparison, x, y)
    faint = [beaten_groups.get(id(item[2]), False) for item in placed]
    points = [
        Point(label, mean_x, mean_y, color, group.runs[0].id, beaten)
        for (label, color, group, mean_x, mean_y), beaten in zip(placed, faint, strict=True)
    ]
    single = [
        RunPoint(comparison.label_of(run), own_x, own_y, comparison.run_colors[run.id], run.id, beaten)
        for (_, _, group, _, _), beaten in zip(placed, faint, strict=True)
        for run in group.runs
        if (own_x := group.value_of(run, x)) is not None and (own_y := group.value_of(run, y)) is not None
    ]
    figure = scatter(
        title,
        _axis(x, comparison, catalog, more_x, "→←"),
        _axis(y, comparison, catalog, more_y, "↑↓"),
        points,
        single,
        x_bounds=catalog.bounds(x.evaluation, x.value),
        y_bounds=catalog.bounds(y.evaluation, y.value),
    )
    return figure, points


def _axis(column: Column, comparison: Comparison, catalog: Catalog, more: bool | None, arrows: str) -> str:
    """Return the result in words with an arrow towards better values."""
    direction = "" if more is None else f" ({arrows[0] if more else arrows[1]} better)"
    return column_label(column, comparison, catalog) + direction
