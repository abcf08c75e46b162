"""The table of runs: a row each, with headline results and chosen columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import Origin, Run
from densitylab.frontend.analysis.formatting import (
    NO_REGULARIZER,
    algorithm_label,
    by_owner,
    labels_of,
    plus_minus,
    run_flags,
    status_text,
)
from densitylab.frontend.analysis.origins import ORIGINS, lambda_of, seed_of
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.chart_card import downloads
from densitylab.frontend.ui.kept_rows import KeptRows

_NUMBERS = {"λ": "Float64", "Seed": "Int64"}  # not known of models that were trained elsewhere
_ALWAYS = ("Status", "Run")
_LAST = ("Model", "Data set", "Experiment", "Name of the experiment", "Tags", "Notes", "Owner", "Created (UTC)")
_HEIGHT = 560  # pixels


def run_row(
    run: Run, catalog: Catalog, experiments: Mapping[int, str], *, every_result: bool = False
) -> dict[str, Any]:
    """Return the row of a run.

    Args:
        run: of any origin.
        catalog: the API's.
        experiments: names by number.
        every_result: whether to add the results that are no headlines.
    """
    labels, headlines = labels_of(run, catalog), catalog.headlines()
    keys = {item.name: item.key for item in run.evaluations}
    trained = run.origin is Origin.TRAINED
    row: dict[str, Any] = {
        "Status": status_text(run.status),
        "Run": run.id,
        "Name": run.name or "",
        "Progress": round(100 * run.progress),
        "Time left": "" if run.status.final or run.eta_seconds is None else duration(run.eta_seconds),
        "Origin": "" if trained else f"{ORIGINS[run.origin]}: {run.source_name}",
        "Regularizer": _regularizer(run, catalog) if trained else "—",
        "λ": lambda_of(run),
        "Seed": seed_of(run),
    }
    for result in [*headlines, *(name for name in run.results if every_result and name not in headlines)]:
        if result in run.results:
            name, _, value = result.partition(".")
            row[labels[result]] = plus_minus(run.results[result], catalog.bounds(keys.get(name, name), value))
    row |= {
        "Model": catalog.label("model", run.spec.model.key),
        "Data set": catalog.label("dataset", run.spec.dataset.key),
        "Experiment": run.experiment,
        "Name of the experiment": experiments.get(run.experiment, ""),
    }
    if algorithm := algorithm_label(run, catalog):
        row["Algorithm"] = algorithm
    if flags := run_flags(run):
        row["Flags"] = "⚠ " + ", ".join(flags)
    if run.tags:
        row["Tags"] = ", ".join(run.tags)
    if run.notes:
        row["Notes"] = run.notes
    if by_owner(run.owner):
        row["Owner"] = run.owner
    row["Created (UTC)"] = run.created_at.strftime("%Y-%m-%d %H:%M")
    return row


def _regularizer(run: Run, catalog: Catalog) -> str:
    return NO_REGULARIZER if lambda_of(run) == 0 else catalog.label("regularizer", run.spec.regularizer.key)


def show_runs_table(
    rows: Callable[[], Sequence[Mapping[str, Any]]], kept: KeptRows, *, grouped: bool, columns_place: DeltaGenerator
) -> list[int]:
    """Draw the table with the choice of its columns; return the positions of the selected rows.

    Args:
        rows: makes those of `run_row`.
        kept: the table's.
        grouped: whether the name of the experiment stands first.
        columns_place: where the choice of the columns is drawn.
    """
    table = kept.table(lambda: _table(rows()))
    names = [name for name in table if name not in _LAST] + [name for name in _LAST if name in table]
    if grouped:
        names = ["Name of the experiment", *(name for name in names if name != "Name of the experiment")]
    offered = [name for name in names if name not in _ALWAYS]
    with columns_place.popover("Columns", icon=":material/view_column:"):
        chosen = st.multiselect(
            "Columns",
            offered,
            key="columns",
            bind="query-params",
            accept_new_options=True,  # a link may have a column that no run on this page has
            placeholder="all columns",
            wrap=True,
        )
    order = [name for name in names if name in _ALWAYS or name in chosen or not chosen]
    event = st.dataframe(
        table,
        hide_index=True,
        column_order=order,
        on_select="rerun",
        selection_mode="multi-row",
        key=kept.key,
        height=min(37 + 35 * len(table), _HEIGHT),
        placeholder="—",
        column_config={
            "Progress": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%", width="small"),
            "Status": st.column_config.TextColumn(pinned=True),
            "Run": st.column_config.NumberColumn(pinned=True, format="%d", width="small"),
            "λ": st.column_config.NumberColumn(format="%g", width="small"),
            "Seed": st.column_config.NumberColumn(width="small"),
            "Experiment": st.column_config.NumberColumn(format="%d", width="small"),
        },
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Value ± half-width of its 95 % interval, or the ends of the interval.", width="content")
        downloads(lambda: table[order], "runs")
    return [row for row in event.selection.rows if row < len(table)]


def _table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the rows without columns that say nothing."""
    table = pd.DataFrame(rows)
    table = table.fillna({name: "" for name in table if name not in _NUMBERS}).astype(_NUMBERS)
    empty = [name for name in ("Name", "Time left", "Origin") if not any(table[name])]
    return table.drop(columns=[*empty, *(["Progress"] if all(table["Progress"] == 100) else [])])
