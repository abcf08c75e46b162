"""The paper output of a comparison of runs."""

from collections.abc import Callable, Mapping, Sequence

from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.backend.shared.statistics.groups import Column, Group, higher_is_better, mean_over_seeds, repeated_text
from densitylab.backend.shared.statistics.selection import ACCURACY, Selection
from densitylab.backend.shared.statistics.selection_text import selection_text
from densitylab.frontend.analysis.comparison import (
    Comparison,
    all_runs,
    column_label,
    compare,
    dominated_groups,
    headline_columns,
    left_out_text,
    method_label,
    tradeoff_columns,
)
from densitylab.frontend.analysis.formatting import NO_REGULARIZER
from densitylab.frontend.analysis.selection_rule import (
    SelectionRule,
    constraint_text,
    default_rule,
    select_lambda,
)
from densitylab.frontend.analysis.summary import correction_text
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.paper.contents import (
    Paper,
    PaperCell,
    PaperFigure,
    PaperPanel,
    PaperPoint,
    PaperRow,
    PaperTable,
)
from densitylab.frontend.paper.images import images_of
from densitylab.frontend.paper.keys import file_key
from densitylab.frontend.paper.setup import setup_notes

LAMBDA_AXIS = "λ"


def comparison_paper(
    comparison: Comparison,
    columns: Sequence[Column],
    catalog: Catalog,
    *,
    title: str,
    across: Sequence[tuple[Column, Column]] | None = None,
    rule: SelectionRule | None = None,
) -> Paper:
    """Return the tables and figures of a comparison.

    Args:
        comparison: groups of runs.
        columns: results of the tables and of the figures over λ.
        catalog: the API's.
        title: of the document.
        across: (x, y) of the figures of a result over another one; None: each of the usual ones over the accuracy.
        rule: of the selected λ; None: no table of selected λ.
    """
    runs = [run for group in comparison.groups for run in group.runs]
    left_out = list(filter(None, [left_out_text(comparison)]))
    tables = [_table("Means over seeds", _all_rows(comparison, catalog), columns, comparison, catalog, left_out)]
    if rule is not None and (rows := select_lambda(comparison, rule)):
        limits = f"at most {100 * rule.max_loss:g} points of accuracy below its baseline"
        title_of_selected = f"The λ of each method, {limits}{constraint_text(rule, comparison, catalog)}"
        notes = [f"Selected by {column_label(rule.result, comparison, catalog)}.", selection_text(rows)]
        picked = _selected_rows(rows, comparison, catalog)
        tables.append(_table(title_of_selected, picked, columns, comparison, catalog, notes, beside=rule.results))
    lines = _lines(comparison)
    if across is None:
        accuracy = next((column for column in comparison.columns if column.result == ACCURACY), None)
        across = [] if accuracy is None else [(accuracy, column) for column in tradeoff_columns(columns)]
    figures = [
        *(_figure(comparison, catalog, lines, x, y) for x, y in across),
        *(_figure(comparison, catalog, lines, None, column) for column in columns),
    ]
    return Paper(
        title=title,
        tables=[table for table in tables if table.rows and table.results],
        figures=[figure for figure in figures if any(len(line) > 1 for line in figure.panels[0].lines.values())],
        runs=runs,
        colors=_line_colors(comparison),
    )


def collect_experiment(client: ApiClient, experiment: int) -> Paper:
    """Fetch an experiment and return its paper output: the headline results, λ selected by the first one of known
    direction that is not the accuracy."""
    catalog = client.catalog()
    comparison = compare(client.runs_of(experiment), catalog, leave_out=True)
    columns = headline_columns(comparison, catalog)
    rule = default_rule(comparison, columns)
    return comparison_paper(comparison, columns, catalog, title=client.experiment(experiment).name, rule=rule)


class _Row:
    """A group with its words; None: no λ of the method is within the budget."""

    def __init__(self, method: str, group: Group | None, selection: Selection | None = None) -> None:
        self.method, self.group, self.selection = method, group, selection


def _all_rows(comparison: Comparison, catalog: Catalog) -> list[_Row]:
    return [_Row(_method(group, comparison, catalog), group) for group in comparison.groups]


def _selected_rows(rows: Sequence[Selection], comparison: Comparison, catalog: Catalog) -> list[_Row]:
    """Return the baselines, then each method at its selected λ."""
    baselines = {id(row.baseline): row.baseline for row in rows}.values()
    # By the largest λ: the smallest may be the baseline's
    chosen = [_Row(_method(row.method.groups[-1], comparison, catalog), row.group, row) for row in rows]
    return [*(_Row(_method(group, comparison, catalog), group) for group in baselines), *chosen]


def _method(group: Group, comparison: Comparison, catalog: Catalog) -> str:
    """Return the settings of a group in words, without λ."""
    if not group.trained_here:
        return comparison.labels[comparison.index_of(group)]
    label = comparison.labels[comparison.index_of(group)]
    return label if label.startswith(NO_REGULARIZER) else method_label(group, comparison.varied, catalog)


def _table(
    title: str,
    rows: Sequence[_Row],
    columns: Sequence[Column],
    comparison: Comparison,
    catalog: Catalog,
    notes: Sequence[str],
    beside: Sequence[Column] = (),
) -> PaperTable:
    """Return a table of these results, and of those `beside` them, of which none is marked as the best."""
    shown_columns = list(dict.fromkeys([*columns, *beside]))
    there = [row.group for row in rows if row.group is not None]
    best = comparison.best(columns, there)
    shown = [run for group in there for run in group.runs]
    notes = [*setup_notes(there, shown_columns, catalog), *notes]
    tests = correction_text(comparison, columns)
    if tests:
        notes = [*notes, f"{tests} No mean is bold where such a difference is undecided."]
    if repeated := repeated_text(there):
        notes = [*notes, repeated]
    return PaperTable(
        key=file_key(title.partition(",")[0]),
        title=title,
        results=[column.result for column in shown_columns],
        labels=[_label(column, comparison, catalog) for column in shown_columns],
        rows=[
            PaperRow(
                row.method,
                None if row.group is None else row.group.settings["lambda_"],
                row.selection.edge if row.selection else None,
                [run.id for run in row.group.runs] if row.group else [],
                [
                    PaperCell(
                        None if row.group is None else mean_over_seeds(row.group, column),
                        row.group is not None and best.get(column) is row.group,
                    )
                    for column in shown_columns
                ],
            )
            for row in rows
        ],
        images=images_of(shown, [column.result for column in shown_columns]),
        notes=notes,
    )


def _label(column: Column, comparison: Comparison, catalog: Catalog) -> str:
    """Return the result in words, with an arrow towards better values."""
    arrows = {True: " ↑", False: " ↓", None: ""}
    return column_label(column, comparison, catalog) + arrows[higher_is_better(all_runs(comparison), column)]


def _lines(comparison: Comparison) -> dict[str, list[Group]]:
    """Return the groups of each method in order of λ, from its baseline on, and those that belong to no method."""
    lines: dict[str, list[Group]] = {}
    for family in comparison.families:
        start = [family.origin] if family.origin is not None and family.groups[0].settings["lambda_"] > 0 else []
        lines[family.label] = [*start, *family.groups]
    drawn = {id(group) for line in lines.values() for group in line}
    rest = zip(comparison.labels, comparison.groups, strict=True)
    return lines | {label: [group] for label, group in rest if id(group) not in drawn}


def _line_colors(comparison: Comparison) -> dict[str, str]:
    """Return the colour of each line that `_lines` may return, as the page has it."""
    alone = dict(zip(comparison.labels, comparison.colors, strict=True))
    return alone | {family.label: family.color for family in comparison.families}


def _figure(
    comparison: Comparison, catalog: Catalog, lines: Mapping[str, Sequence[Group]], x: Column | None, y: Column
) -> PaperFigure:
    """Return a result over another one, or over λ where `x` is None."""
    words = column_label(y, comparison, catalog)
    across = LAMBDA_AXIS if x is None else column_label(x, comparison, catalog)
    place: Callable[[Group], Estimate | float | None] = (
        (lambda group: group.settings["lambda_"]) if x is None else (lambda group: mean_over_seeds(group, x))
    )
    beaten = {} if x is None else dominated_groups(comparison, x, y)
    drawn = {
        label: [
            PaperPoint(at, mean, group.settings["lambda_"], [run.id for run in group.runs], beaten.get(id(group)))
            for group in groups
            if (mean := mean_over_seeds(group, y)) and (at := place(group)) is not None
        ]
        for label, groups in lines.items()
    }
    return PaperFigure(
        key=file_key(f"{words} over {across}"),
        title=f"{words} over {across}",
        x_label=LAMBDA_AXIS if x is None else _label(x, comparison, catalog),
        y_label=_label(y, comparison, catalog),
        panels=[PaperPanel("", {label: points for label, points in drawn.items() if points})],
    )
