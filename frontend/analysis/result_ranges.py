"""The headline results of an experiment in a line."""

from densitylab.backend.shared.statistics.groups import mean_over_seeds
from densitylab.frontend.analysis.comparison import Comparison, headline_columns, short_label
from densitylab.frontend.analysis.formatting import counted, number
from densitylab.frontend.client.catalog import Catalog

_SHOWN = 3  # results


def result_ranges(comparison: Comparison, catalog: Catalog) -> str:
    """Return the lowest and the highest mean over seeds among the groups, of the first three headline results; "" where
    there is none."""
    parts = []
    for column in headline_columns(comparison, catalog)[:_SHOWN]:
        means = [mean.mean for group in comparison.groups if (mean := mean_over_seeds(group, column))]
        low, high = number(min(means)), number(max(means))
        parts.append(f"{short_label(column, comparison, catalog)}: {low if low == high else f'{low} to {high}'}")
    evaluated = sum(bool(group.means) for group in comparison.groups)
    groups = f" (means of {counted(evaluated, 'group')})" if evaluated > 1 else ""
    return " · ".join(parts) + groups if parts else ""
