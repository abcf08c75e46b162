"""Distributions of single test images over runs: a violin per run, beside the controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from densitylab.backend.shared.contracts import CatalogPlot, Evaluation, Run
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.sample_arrays import Arrays
from densitylab.frontend.charts.evaluation_curves import ChartKey, chart_label
from densitylab.frontend.charts.results import Spread, images_link, plots_by_title, spread_of, trace_label, violins
from densitylab.frontend.client.catalog import Catalog

MAX_VIOLINS = 12  # that are still distinguishable side by side


@dataclass
class EvaluationSpreads:
    """A value of all runs that have it, in the order of the groups; its arrays are not fetched yet."""

    label: str
    plot: CatalogPlot  # with its original title, which links use
    name: str
    members: list[tuple[Run, Evaluation]]
    flags: dict[str, list[int]] = field(default_factory=dict)  # warnings with the ids of their runs


def evaluation_spreads(
    comparison: Comparison, evaluations: Mapping[int, Sequence[Evaluation]], catalog: Catalog
) -> list[EvaluationSpreads]:
    """Return a chart per value of single images, for equal parameters and data.

    Args:
        comparison: the runs in groups.
        evaluations: by run.
        catalog: its plots specify which values have violins.
    """
    drawn: dict[ChartKey, EvaluationSpreads] = {}
    for run in (run for group in comparison.groups for run in group.runs):
        for sharing in plots_by_title(evaluations.get(run.id, ()), catalog).values():
            for item, plot in sharing:
                for name in plot.names:
                    if plot.mark != "violins" or name not in item.values:
                        continue
                    key = ChartKey.of(run, item, plot, trace_label(item, plot, name, sharing, catalog))
                    chart = drawn.setdefault(key, EvaluationSpreads("", plot, name, []))
                    chart.members.append((run, item))
                    for flag in item.flags:
                        chart.flags.setdefault(flag.text, []).append(run.id)
    for key, chart in drawn.items():
        chart.label = chart_label(key, drawn)
    return list(drawn.values())


def draw_spreads(chart: EvaluationSpreads, shown: Sequence[Spread]) -> go.Figure:
    """Draw the violins under the chart's label."""
    return violins(chart.plot.model_copy(update={"title": chart.label}), shown)


def sample_spreads(
    chart: EvaluationSpreads, comparison: Comparison, arrays: Callable[[int, Evaluation], Arrays]
) -> list[Spread]:
    """Return the violins of the first MAX_VIOLINS runs that have arrays; a click gives "run|images"."""
    shown = []
    for run, item in chart.members[:MAX_VIOLINS]:
        values = arrays(run.id, item)
        if chart.name in values:
            images = images_link(item, chart.plot, chart.name, 0.0)
            shown.append(
                spread_of(
                    item,
                    chart.plot,
                    chart.name,
                    values,
                    label=comparison.label_of(run),
                    color=comparison.run_colors[run.id],
                    click=f"{run.id}|{images}" if images else str(run.id),
                )
            )
    return shown
