"""Values that chance gives: of a random map, a network with random weights, the area of a mask."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import Comparison, short_label
from densitylab.frontend.analysis.formatting import number, readable
from densitylab.frontend.client.catalog import Catalog


def controls_text(comparison: Comparison, columns: Sequence[Column], catalog: Catalog) -> str:
    """Return a sentence with the controls of these results, each as its lowest and highest value over the runs; "" if
    none of them has any."""
    parts = []
    for column in columns:
        runs = [run for group in comparison.groups for run in group.runs if column in group.columns_by_run[run.id]]
        shown = [f"{words} {_range(runs, result)}" for words, result in _controls(column, runs, catalog).items()]
        if shown:
            parts.append(f"{short_label(column, comparison, catalog)}: {', '.join(shown)}")
    return f"Controls, over all runs. {'; '.join(parts)}." if parts else ""


def _controls(column: Column, runs: Sequence[Run], catalog: Catalog) -> dict[str, str]:
    """Return the results that are controls of a result, by their names in words."""
    entry = catalog.entry("evaluation", column.evaluation)
    evaluation, _, value = column.result.partition(".")
    known = {name for run in runs for name in run.results}
    controls: dict[str, str] = {}
    for plot in entry.plots if entry else ():
        for control in plot.controls:
            own, shared = f"{evaluation}.{value}_{control}", f"{evaluation}.{control}"
            if own in known:
                controls[readable(control)] = own
            elif shared in known and value in plot.names:
                controls[readable(control)] = shared
    return controls


def _range(runs: Sequence[Run], result: str) -> str:
    values = [value for run in runs if result in run.results and (value := run.results[result].value) is not None]
    if not values:
        return number(None)
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"
