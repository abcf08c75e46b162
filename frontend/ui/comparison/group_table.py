"""The table of a comparison: a row per group, with means over seeds and differences from the baseline."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import Comparison, column_label, left_out_text, short_label
from densitylab.frontend.analysis.controls import controls_text
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.analysis.summary import star_text
from densitylab.frontend.analysis.tables import BEST, SEEDS, numbers, summary
from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.chart_card import downloads
from densitylab.frontend.ui.comparison.open_run import open_run, run_query
from densitylab.frontend.ui.folded import folded


@dataclass(frozen=True)
class TableCell:
    """A number with its interval on a second line."""

    value: str
    interval: str
    delta: bool  # whether it is a difference from the baseline


def show_group_table(comparison: Comparison, columns: Sequence[Column], *, preliminary: bool) -> None:
    """Draw the table, in which each group's name opens one of its runs, and below it the same table to sort. While the
    results are preliminary no group is marked as the best."""
    table = summary(
        comparison,
        columns,
        catalog(),
        all_settings=st.session_state["identical"],
        deltas=st.session_state["deltas"],
        stars=not preliminary,
    )
    st.html(table_html(table, comparison, columns))
    if not columns:
        st.caption("Results appear as evaluations finish. Click a group to open one of its runs.")
    else:
        stars = "" if preliminary else f"{star_text(comparison, columns)} "
        st.caption(
            "Mean, with ± the half-width of the 95 % Student-t interval over finished seeds, or the interval's ends. "
            f"{stars}Δ: difference from the baseline, paired by seed; p values are in the download. Click a group or a "
            "point of a chart to open a run."
        )
    if left_out := left_out_text(comparison):
        st.caption(escaped(left_out))
    if columns and (controls := controls_text(comparison, columns, catalog())):
        st.caption(escaped(controls))
    folded("Sort the table", functools.partial(_show_sortable, table, comparison), key="sortable-groups")
    if columns:
        downloads(lambda: pd.DataFrame(numbers(comparison, columns, catalog())), "comparison")


def _show_sortable(table: pd.DataFrame, comparison: Comparison) -> None:
    event = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="single-row", key="groups", width="content"
    )
    if event.selection.rows:
        open_run(comparison.groups[event.selection.rows[0]].runs[0].id, comparison)


def table_html(table: pd.DataFrame, comparison: Comparison, columns: Sequence[Column]) -> str:
    """Return the table as HTML. `table` is the comparison's `summary`."""
    labels = [short_label(column, comparison, catalog()) for column in columns]
    results = [
        {"label": label, "deltas": f"Δ {label}" in table, "help": column_label(column, comparison, catalog())}
        for column, label in zip(columns, labels, strict=True)
    ]
    settings = [str(name) for name in table.columns[: list(table.columns).index(SEEDS) + 1]]
    numbered = [name for label in labels for name in (label, f"Δ {label}") if name in table]
    rows = [
        {
            "label": label,
            "color": color,
            "link": f"run?{urlencode(run_query(group.runs[0].id, comparison))}",
            "settings": [row[name] for name in settings],
            "cells": [_cell(str(row[name]), delta=name not in labels) for name in numbered],
        }
        for label, color, group, row in zip(
            comparison.labels, comparison.colors, comparison.groups, table.to_dict("records"), strict=True
        )
    ]
    return template("ui/comparison/group_table.html").render(
        style=read_asset("ui/comparison/group_table.css"), settings=settings, results=results, rows=rows
    )


def _cell(words: str, *, delta: bool) -> TableCell:
    """Return the number, with its star, and the rest as the second line; words without a number stay together."""
    star = BEST if words.startswith(BEST) else ""
    value, _, interval = words.removeprefix(BEST).partition(" ")
    if not any(character.isdigit() for character in value):
        return TableCell(words, "", delta)
    return TableCell(star + value, interval, delta)
