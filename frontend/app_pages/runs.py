"""All runs: filters, a table with headline results, and actions on selected rows."""

import functools
from itertools import groupby
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import Run, Status
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.client import ApiError
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.kept_rows import KeptRows
from densitylab.frontend.ui.runs.actions import show_actions
from densitylab.frontend.ui.runs.filters import show_filters
from densitylab.frontend.ui.runs.saved_views import show_saved_views
from densitylab.frontend.ui.runs.table import run_row, show_runs_table

PAGE, RUNNING, NAMED = 50, 50, 100
TABLE = KeptRows("runs-table")


def fetch(count: int) -> tuple[list[Run], int]:
    """Return the first runs that match the filters, in the default order the running ones first, and the number of all
    that match."""
    runs: list[Run] = []
    cursor, total = None, 0
    while len(runs) < count:
        page = api().runs(**filters, limit=min(PAGE, count - len(runs)), cursor=cursor, total=cursor is None)
        runs += page.items
        total = total if page.total is None else page.total
        cursor = page.next_cursor
        if cursor is None:
            break
    if filters["sort"] == "-id" and filters["status"] is None:
        running = api().runs(**filters | {"status": Status.RUNNING}, limit=RUNNING).items
        first = {run.id for run in running}
        runs = [*running, *(run for run in runs if run.id not in first)]
    if grouped:  # in the order of each experiment's first run
        order = list(dict.fromkeys(run.experiment for run in runs))
        runs.sort(key=lambda run: order.index(run.experiment))
    return runs, total


def kept_runs(runs: list[Run]) -> list[Run]:
    """Return the runs to show; while rows are selected the same ones in the same order, also those that the filters no
    longer match."""
    by_id = {run.id: run for run in runs}
    view = {**filters, "grouped": grouped, "all": every_result, "columns": st.session_state.get("columns", [])}
    order = TABLE.order(list(by_id), view=view)
    try:
        kept = [by_id.get(run_id) or api().run(run_id) for run_id in order]
        gone = any(run.archived != archived for run in kept)
    except ApiError as error:
        if error.status != 404:
            raise
        gone = True
    if gone:  # the rows behind it have moved, so the selection is not valid any more
        TABLE.clear()
        TABLE.order(list(by_id), view=view)
        return runs
    return kept


def rows_of(runs: list[Run]) -> list[dict[str, Any]]:
    """Return the rows; in a grouped table an experiment's name stands beside its first run alone."""
    names = {item.id: item.name for item in api().experiments(limit=NAMED, archived=archived).items}
    rows = [run_row(run, catalog(), names, every_result=every_result) for run in runs]
    if grouped:
        for number, members in groupby(rows, key=lambda row: row["Experiment"]):
            for index, row in enumerate(members):
                row["Name of the experiment"] = "" if index else row["Name of the experiment"] or f"experiment {number}"
    return rows


def any_active() -> bool:
    try:
        return any(api().runs(status=status, limit=1).items for status in (Status.RUNNING, Status.QUEUED))
    except ApiError:
        return True


st.title("Runs")
filters = show_filters(catalog())
archived = filters["archived"]
with st.container(horizontal=True, vertical_alignment="center"):
    grouped = st.toggle("Group by experiment", key="grouped", bind="query-params")
    every_result = st.toggle("All results", key="all", bind="query-params", help="One column per result")
    show_saved_views("runs")


@fragment(run_every=2 * REFRESH_SECONDS if any_active() else None)
def show_runs() -> None:
    count = st.session_state.get("runs_wanted", PAGE)
    runs, total = fetch(count)
    kept = kept_runs(runs)
    if not kept:
        if any(value for name, value in filters.items() if name != "sort"):
            st.info("No run matches these filters.", icon=":material/filter_alt:")
        else:
            st.info(
                "No runs yet: launch the demo from the home page, or your own experiment.", icon=":material/lightbulb:"
            )
            st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
            st.page_link("app_pages/launch.py", label="Launch", icon=":material/rocket_launch:")
        return
    shown = f", {len(runs):,} of them shown" if len(runs) < total else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{counted(total, 'run')} in all{shown}.", width="content")
        columns = st.container(width="content")
    actions = st.container()
    hidden = len({run.id for run in runs} - {run.id for run in kept})
    TABLE.show_caption(hidden, "run", hint="Select rows at the left edge; the buttons apply to them.")
    selected = show_runs_table(functools.partial(rows_of, kept), TABLE, grouped=grouped, columns_place=columns)
    with actions:
        show_actions([kept[row] for row in selected], TABLE, archived=archived)
    if len(runs) < total:
        st.button("Show more", icon=":material/expand_more:", on_click=_show_more, disabled=TABLE.selected)


def _show_more() -> None:
    st.session_state["runs_wanted"] = st.session_state.get("runs_wanted", PAGE) + PAGE


show_runs()
