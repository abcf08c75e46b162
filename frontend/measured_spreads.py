"""Values of single test images over runs: a violin per run, beside what chance would give. No Streamlit in here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from backend.shared.contracts import CatalogPlot, Evaluation, Run
from frontend.catalog import Catalog
from frontend.comparison import Comparison
from frontend.measured_curves import Alike, label_of
from frontend.per_image import Arrays
from frontend.result_charts import Spread, behind, plots, spread_of, trace_label, violins

MAX_VIOLINS = 12  # beside each other they can still be told apart


@dataclass
class MeasuredSpreads:
    """One value of every run that has it, in the order of the groups; the arrays are not fetched yet."""

    label: str
    plot: CatalogPlot  # with its own title, by which links find it
    name: str
    members: list[tuple[Run, Evaluation]]
    flags: dict[str, list[int]] = field(default_factory=dict)  # why it may be false, and whose: ids of runs


def measured_spreads(
    found: Comparison, evaluations: Mapping[int, Sequence[Evaluation]], offered: Catalog
) -> list[MeasuredSpreads]:
    """A chart per value that evaluations keep for single images, measured alike on the same data.

    Args:
        found: the runs in groups.
        evaluations: by run.
        offered: the catalog, whose plots say which values have violins.
    """
    drawn: dict[Alike, MeasuredSpreads] = {}
    for run in (run for group in found.groups for run in group.runs):
        for sharing in plots(evaluations.get(run.id, ()), offered).values():
            for item, plot in sharing:
                for name in plot.names:
                    if plot.mark != "violins" or name not in item.values:
                        continue
                    key = Alike.of(run, item, plot, trace_label(item, plot, name, sharing, offered))
                    chart = drawn.setdefault(key, MeasuredSpreads("", plot, name, []))
                    chart.members.append((run, item))
                    for flag in item.flags:
                        chart.flags.setdefault(flag.text, []).append(run.id)
    for key, chart in drawn.items():
        chart.label = label_of(key, drawn)
    return list(drawn.values())


def draw_spreads(chart: MeasuredSpreads, shown: Sequence[Spread]) -> go.Figure:
    return violins(chart.plot.model_copy(update={"title": chart.label}), shown)


def spreads(
    chart: MeasuredSpreads, found: Comparison, arrays: Callable[[int, Evaluation], Arrays]
) -> list[Spread]:
    """The violins of a chart, one per run of the first MAX_VIOLINS that kept its arrays; a click gives "run|images"."""
    shown = []
    for run, item in chart.members[:MAX_VIOLINS]:
        kept = arrays(run.id, item)
        if chart.name in kept:
            images = behind(item, chart.plot, chart.name, 0.0)
            shown.append(spread_of(
                item, chart.plot, chart.name, kept[chart.name], label=found.label_of(run),
                color=found.run_colors[run.id], click=f"{run.id}|{images}" if images else str(run.id)))
    return shown
