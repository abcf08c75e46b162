"""The selected λ of each method as a table."""

from dataclasses import dataclass

from densitylab.backend.shared.statistics.selection_text import selection_text
from densitylab.frontend.analysis.best_method import best_method_text
from densitylab.frontend.analysis.comparison import column_label
from densitylab.frontend.analysis.selection_rule import constraint_text, default_rule, select_lambda
from densitylab.frontend.analysis.summary import correction_text
from densitylab.frontend.analysis.tables import selections, tested_with
from densitylab.frontend.report.evidence import Evidence
from densitylab.frontend.report.tables import Table, as_text


@dataclass(frozen=True)
class SelectedLambda:
    """A row per method at its selected λ, and the rule of the selection."""

    title: str
    table: Table
    text: str


def selected_lambda(evidence: Evidence) -> SelectedLambda | None:
    """Return the table of each method's selected λ; None where there is nothing to select by."""
    comparison, catalog = evidence.comparison, evidence.catalog
    rule = evidence.rule or default_rule(comparison, evidence.columns)
    rows = select_lambda(comparison, rule) if rule else []
    if rule is None or not rows:
        return None
    label = column_label(rule.result, comparison, catalog)
    texts = (
        best_method_text(rows, comparison, rule.result),
        selection_text(rows),
        correction_text(comparison, tested_with(evidence.columns, rule.result)),
    )
    limits = f"{100 * rule.max_loss:g} points accuracy loss{constraint_text(rule, comparison, catalog)}"
    return SelectedLambda(
        f"{label}: best at ≤ {limits}",
        as_text(selections(rows, comparison, rule.result, catalog, shown=evidence.columns)),
        " ".join(filter(None, texts)),
    )
