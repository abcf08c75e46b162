"""The charts of a comparison's results: over λ, trade-offs, best at matched accuracy, and parallel coordinates."""

import functools
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.statistics.groups import Column
from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.backend.shared.statistics.selection_text import selection_text, unselected_text
from densitylab.frontend.analysis.best_method import best_method_text, seeds_to_add
from densitylab.frontend.analysis.comparison import (
    Comparison,
    all_runs,
    column_label,
    headline_columns,
    method_label,
    selectable_columns,
    short_label,
    text,
    tradeoff_columns,
)
from densitylab.frontend.analysis.formatting import counted, escaped
from densitylab.frontend.analysis.selection_rule import (
    SelectionRule,
    constraint_columns,
    constraint_text,
    select_lambda,
)
from densitylab.frontend.analysis.summary import correction_text
from densitylab.frontend.analysis.tables import per_run, selections, tested_with
from densitylab.frontend.charts.lambda_response import lines
from densitylab.frontend.ui.add_runs import show_adding_seeds
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.chart_card import chart_card, downloads
from densitylab.frontend.ui.comparison.cached_figures import (
    cached_lambda_response,
    cached_parallel_coordinates,
    cached_tradeoff,
)
from densitylab.frontend.ui.comparison.claim_box import show_claim
from densitylab.frontend.ui.comparison.comparison_warnings import evaluation_warnings, run_warnings
from densitylab.frontend.ui.comparison.live_choice import chosen_option, live_choice
from densitylab.frontend.ui.comparison.open_run import open_run
from densitylab.frontend.ui.warning_line import show_warning_line
from densitylab.frontend.ui.wrapped_table import wrapped_table

MAX_RESPONSES, MAX_AXES, MAX_LINES = 6, 6, 60
NO_CONSTRAINT = "none"


def show_lambda_responses(comparison: Comparison, columns: Sequence[Column]) -> None:
    """Draw each result over λ, two charts in a row."""
    drawable = [column for column in columns if any(len(line.points) > 1 for line in lines(comparison, column))]
    if not drawable:
        return
    st.header("Over λ")
    cells = st.columns(2)
    for index, column in enumerate(drawable[:MAX_RESPONSES]):
        if index and index % 2 == 0:
            cells = st.columns(2)
        with cells[index % 2]:
            label = column_label(column, comparison, catalog())
            rows = [
                {"line": line.label, "λ": lambda_, "mean": mean.mean, "low": mean.low, "high": mean.high, "n": mean.n}
                for line in lines(comparison, column)
                for lambda_, _, mean in line.points
            ]
            chart_card(
                cached_lambda_response(comparison.fingerprint, label, comparison, column),
                functools.partial(pd.DataFrame, rows),
                key=f"lambda-{column.result}-{index}",  # variants of a result have its name
                label=f"{label} over λ",
                height=330,
                opens=lambda run_id: open_run(run_id, comparison),
            )
    st.caption(
        "Diamonds: means over seeds. Bands and bars: 95 % intervals. Dots: single runs. "
        "λ = 0 is at the left end of the logarithmic axis."
    )


def show_tradeoffs(comparison: Comparison) -> list[tuple[Column, Column]]:
    """Draw two scatter plots of two chosen results each; return these, (x, y)."""
    shown: list[tuple[Column, Column]] = []
    if not tradeoff_columns(comparison.columns):
        return shown
    st.header("Trade-offs")
    known = {short_label(column, comparison, catalog()): column for column in comparison.columns}
    labels = list(known)
    preferred = tradeoff_columns(headline_columns(comparison, catalog()))
    accuracies = [label for label, column in known.items() if column.result == ACCURACY]
    ups = sorted(
        (label for label in labels if label not in accuracies), key=lambda label: known[label] not in preferred
    )
    for index, cell in enumerate(st.columns(2)):
        with cell:
            x_cell, y_cell = st.columns(2)
            x_key = f"across{index + 1}"
            up = _other_than(chosen_option(x_key, labels), [*ups[index:], *ups, *labels])
            up = live_choice("y-axis", labels, up, key=f"up{index + 1}", cell=y_cell)
            across = live_choice("x-axis", labels, _other_than(up, [*accuracies, *labels]), key=x_key, cell=x_cell)
            names = [across, up]
            x, y = (known[name] for name in names)
            shown.append((x, y))
            figure, points = cached_tradeoff(comparison.fingerprint, names, comparison, x, y)
            table = pd.DataFrame(
                [
                    {
                        "group": point.label,
                        f"{names[0]}": point.x.mean,
                        f"{names[0]}, low": point.x.low,
                        f"{names[0]}, high": point.x.high,
                        f"{names[1]} ": point.y.mean,
                        f"{names[1]}, low ": point.y.low,
                        f"{names[1]}, high ": point.y.high,
                        "n": point.x.n,
                        "dominated": point.faint,
                    }
                    for point in points
                ]
            )
            described = "; ".join(f"{point.label}: {text(point.x)}, {text(point.y)}" for point in points)
            chart_card(
                figure,
                functools.partial(pd.DataFrame, table),
                key=f"tradeoff-{index + 1}",
                label=f"Trade-off: {' and '.join(names)}. {described}",
                height=430,
                opens=lambda run_id: open_run(run_id, comparison),
            )
    st.caption(
        "Diamonds: means over seeds with 95 % intervals. Dots: single runs. Faint groups are dominated: another group "
        "is at least as good in both results and better in one. A broad grey line joins the others, where there are "
        "several: the Pareto front."
    )
    return shown


def show_selection(
    comparison: Comparison, columns: Sequence[Column], *, experiment: int | None, preliminary: bool
) -> SelectionRule | None:
    """Draw the table of each method's selected λ within an accuracy budget, and the claim box.

    Args:
        comparison: the groups.
        columns: the results of the page's table.
        experiment: the only one, to which seeds can be added; None: there are several, or single runs.
        preliminary: whether runs are unfinished; the methods are not compared meanwhile.

    Returns:
        The chosen rule; None if there is nothing to select by.
    """
    runs = all_runs(comparison)
    offered = selectable_columns(comparison.columns, runs)
    if not offered or not any(comparison.baselines):
        return None
    heading = st.empty()
    result_cell, budget_cell, constraint_cell, limit_cell = st.columns([3, 2, 3, 2])
    by_label = {short_label(item, comparison, catalog()): item for item in offered}
    headlines = headline_columns(comparison, catalog())
    start = next((label for label, item in by_label.items() if item in headlines), next(iter(by_label)))
    column = by_label[live_choice("Result", list(by_label), start, key="best", cell=result_cell)]
    budget = budget_cell.number_input("Accuracy budget (points)", 0.0, 100.0, 2.0, 0.5, key="loss", bind="query-params")
    offered = constraint_columns(comparison, column, catalog())
    names = {short_label(item, comparison, catalog()): item for item in offered}
    constraint = names.get(
        constraint_cell.selectbox(
            "Second constraint",
            [NO_CONSTRAINT, *names],
            key="constraint",
            bind="query-params",
            help="Another result that λ may make worse than the baseline's by so many points at most",
        )
    )
    limit = 0.0
    if constraint is not None:
        limit = limit_cell.number_input(
            "At most worse (points)",
            0.0,
            100.0,
            0.0,
            0.5,
            key="worse",
            bind="query-params",
            help="Means over seeds are compared, whatever their intervals: with few seeds leave room for chance. The "
            "claim below tests the limit.",
        )
    rule = SelectionRule(column, budget / 100, constraint, limit / 100)
    heading.header(f"Best at ≤ {budget:g} points accuracy loss{constraint_text(rule, comparison, catalog())}")
    rows = select_lambda(comparison, rule)
    if not rows:
        st.caption("No candidates yet: the accuracy or one of these results is missing.")
        return None
    table = selections(rows, comparison, column, catalog(), shown=columns)
    if told := best_method_text(rows, comparison, column, preliminary=preliminary):
        st.markdown(escaped(told))
    chosen = [row for row in rows if row.group is not None]
    if experiment is not None and (seeds := seeds_to_add(chosen, column)):
        groups = [group for row in chosen for group in (row.group, row.baseline) if group is not None]
        show_adding_seeds(experiment, groups, seeds)
    show_warning_line([*run_warnings(comparison), *evaluation_warnings(comparison, rule.results)])
    wrapped_table(table)
    for row in rows:
        if row.group is None:
            method = method_label(row.method.groups[-1], comparison.varied, catalog())
            st.caption(f"{escaped(method)}: no λ is within the limits; {unselected_text(row)}.")
    tested = tested_with(columns, column)
    order = "The methods are in the order of the results by which λ were selected. " if len(rows) > 1 else ""
    st.caption(f"{order}{selection_text(rows)} {correction_text(comparison, tested)}")
    downloads(lambda: table, "selected-lambda")
    show_claim(comparison, tested, rule, best=next((row.group for row in rows if row.group), None))
    return rule


def show_parallel_coordinates(comparison: Comparison, columns: Sequence[Column]) -> None:
    """Draw one line per run through its settings and results."""
    axes = columns[:MAX_AXES]
    names = [column_label(column, comparison, catalog()) for column in axes]
    figure = cached_parallel_coordinates(comparison.fingerprint, names, comparison, axes)
    if figure is None:
        return
    st.header("Parallel coordinates")
    if not st.toggle(
        "One line per run",
        value=len(all_runs(comparison)) <= MAX_LINES,
        key="lines",
        bind="query-params",
        help="Drawn with WebGL; slow in a browser without a GPU",
    ):
        return
    table = per_run(comparison, columns, catalog())
    chart_card(
        figure,
        functools.partial(pd.DataFrame, table),
        key="parallel",
        label="Settings and results, one line per run",
        height=340,
    )
    lacking = sum(
        any(group.value_of(run, column) is None for column in axes) for group in comparison.groups for run in group.runs
    )
    missing = f" {counted(lacking, 'run')} without some of these results." if lacking else ""
    st.caption(f"One line per run in the colour of its group. Drag along an axis to filter the lines.{missing}")


def _other_than(taken: str | None, labels: Sequence[str]) -> str:
    """Return the first label that is not taken; the taken one where there is no other."""
    return next((label for label in labels if label != taken), labels[0])
