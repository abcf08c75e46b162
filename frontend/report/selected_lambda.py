"""The selected λ of each method as a table."""

from dataclasses import dataclass

from densitylab.backend.shared.statistics.groups import higher_is_better
from densitylab.backend.shared.statistics.selection import select, selection_text
from densitylab.frontend.analysis.comparison import column_label, selectable_columns
from densitylab.frontend.analysis.summary import tests_text
from densitylab.frontend.analysis.tables import selections
from densitylab.frontend.report.evidence import Evidence
from densitylab.frontend.report.tables import Table, as_text

ACCURACY_BUDGET = 0.02


@dataclass(frozen=True)
class SelectedLambda:
    """A row per method at its selected λ, and the rule of the selection."""

    result: str
    budget: str  # points
    table: Table
    text: str


def selected_lambda(evidence: Evidence) -> SelectedLambda | None:
    """Return the table of each method's selected λ, for the first headline result of known direction."""
    comparison = evidence.comparison
    offered = selectable_columns(evidence.columns, evidence.runs)
    if not offered:
        return None
    column = offered[0]
    rows = select(
        comparison.groups,
        column,
        higher=bool(higher_is_better(evidence.runs, column)),
        max_loss=ACCURACY_BUDGET,
        baseline=comparison.baseline,
    )
    if not rows:
        return None
    return SelectedLambda(
        column_label(column, comparison, evidence.catalog),
        f"{100 * ACCURACY_BUDGET:g}",
        as_text(selections(rows, comparison, column, evidence.catalog, shown=evidence.columns)),
        f"{selection_text(rows)} {tests_text(comparison, evidence.columns)}".strip(),
    )
