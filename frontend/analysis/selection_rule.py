"""The rule by which a page, its report and its exports select λ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from densitylab.backend.shared.statistics.bounds import SHARE
from densitylab.backend.shared.statistics.groups import Column, higher_is_better
from densitylab.backend.shared.statistics.selection import Constraint, Selection, select
from densitylab.frontend.analysis.comparison import Comparison, all_runs, selectable_columns, short_label
from densitylab.frontend.client.catalog import Catalog

ACCURACY_BUDGET = 0.02


@dataclass(frozen=True)
class SelectionRule:
    """The best result within an accuracy budget and, if there is one, within the limit of a second result."""

    result: Column
    max_loss: float = ACCURACY_BUDGET  # 0 to 1
    constraint: Column | None = None  # a second result, which is a share
    constraint_loss: float = 0.0  # by how much it may be worse than the baseline's, 0 to 1

    @property
    def results(self) -> list[Column]:
        """The results that the rule names."""
        return [self.result, *([self.constraint] if self.constraint else [])]


def default_rule(comparison: Comparison, columns: Sequence[Column]) -> SelectionRule | None:
    """Return the rule by the first of these results that has a known direction; None where none has."""
    offered = selectable_columns(columns, all_runs(comparison))
    return SelectionRule(offered[0]) if offered else None


def constraint_columns(comparison: Comparison, result: Column, catalog: Catalog) -> list[Column]:
    """Return the results that may limit a selection by `result`: shares of known direction."""
    return [
        column
        for column in selectable_columns(comparison.columns, all_runs(comparison))
        if column != result and catalog.bounds(column.evaluation, column.value) == SHARE
    ]


def select_lambda(comparison: Comparison, rule: SelectionRule) -> list[Selection]:
    """Return the selected λ of each method, the best first by what they were selected by; methods without one last."""
    runs = all_runs(comparison)
    higher = bool(higher_is_better(runs, rule.result))
    constraint = None
    if rule.constraint is not None:
        constraint = Constraint(rule.constraint, bool(higher_is_better(runs, rule.constraint)), rule.constraint_loss)
    rows = select(
        comparison.groups,
        rule.result,
        higher=higher,
        max_loss=rule.max_loss,
        constraint=constraint,
        baseline=comparison.baseline,
    )

    def place(row: Selection) -> float:
        if row.selected_by is None:
            return math.inf
        return -row.selected_by.mean if higher else row.selected_by.mean

    return sorted(rows, key=place)


def constraint_text(rule: SelectionRule, comparison: Comparison, catalog: Catalog) -> str:
    """Return the limit of the second result, as the end of a sentence; "" where there is none."""
    if rule.constraint is None:
        return ""
    label = short_label(rule.constraint, comparison, catalog)
    return f", with {label} at most {100 * rule.constraint_loss:g} points worse"
