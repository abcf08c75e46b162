"""All runs: filters, a table with headline results, and actions on selected rows."""

from typing import Any

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import BulkAction, Origin, Run, RunPatch, Status
from densitylab.frontend.analysis.formatting import (
    algorithm_label,
    by_owner,
    counted,
    joined,
    labels_of,
    plus_minus,
    run_flags,
    status_text,
)
from densitylab.frontend.analysis.origins import ORIGINS, lambda_of, seed_of
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog, show_api_errors
from densitylab.frontend.ui.bulk_actions import act, confirm_delete
from densitylab.frontend.ui.chart_card import downloads
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors

PAGE = 50
MAX_MAPS = 6
TAGGED = "runs_tagged"
NUMBERS = {"λ": "Float64", "Seed": "Int64"}  # not known of models that were trained elsewhere
ORDERS = {"-id": "newest first", "id": "oldest first", "lambda_": "λ"}  # and by each headline result


def fetch(count: int) -> tuple[list[Run], bool]:
    """Return the newest runs that match the filters, and whether there are more."""
    runs: list[Run] = []
    cursor = None
    while len(runs) < count:
        page = api().runs(**filters, limit=min(PAGE, count - len(runs)), cursor=cursor)
        runs += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return runs, cursor is not None


def steady(runs: list[Run]) -> list[Run]:
    """Return the runs to show; while rows are selected the same ones, so that no new run shifts the selection."""
    shown: list[int] = st.session_state.get("runs_shown", [])
    if not selected_rows() or st.session_state.get("runs_filters") != filters:
        st.session_state["runs_filters"] = dict(filters)
        st.session_state["runs_shown"] = [run.id for run in runs]
        return runs
    by_id = {run.id: run for run in runs}
    kept = [by_id[run_id] for run_id in shown if run_id in by_id]
    if len(kept) < len(shown):  # a run was deleted: rows have moved, so the selection is not valid any more
        st.session_state["runs_version"] = st.session_state.get("runs_version", 0) + 1
        st.session_state["runs_shown"] = [run.id for run in runs]
        return runs
    if len(kept) < len(runs):
        st.caption(f"{counted(len(runs) - len(kept), 'newer run')} hidden while rows are selected.")
    return kept


def table_key() -> str:
    return f"runs-table-{st.session_state.get('runs_version', 0)}"


def selected_rows() -> list[int]:
    state = st.session_state.get(table_key())
    return list(state.selection.rows) if state else []


def as_row(run: Run, catalog: Catalog) -> dict[str, Any]:
    labels, headlines = labels_of(run, catalog), catalog.headlines()
    keys = {item.name: item.key for item in run.evaluations}
    trained = run.origin is Origin.TRAINED
    row: dict[str, Any] = {
        "Status": status_text(run.status),
        "Run": run.id,
        "Progress": round(100 * run.progress),
        "Time left": "" if run.status.final or run.eta_seconds is None else duration(run.eta_seconds),
        "Origin": "" if trained else f"{ORIGINS[run.origin]}: {run.source_name}",
        "Regularizer": catalog.label("regularizer", run.spec.regularizer.key) if trained else "—",
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


def show_table(runs: list[Run]) -> list[Run]:
    """Draw the table; return the selected runs."""
    rows = pd.DataFrame([as_row(run, catalog()) for run in runs])
    rows = rows.fillna({name: "" for name in rows if name not in NUMBERS}).astype(NUMBERS)
    for name in ("Time left", "Origin"):
        if not any(rows[name]):
            del rows[name]
    ends = [
        name for name in ("Model", "Data set", "Experiment", "Tags", "Notes", "Owner", "Created (UTC)") if name in rows
    ]
    order = [name for name in rows if name not in ends] + ends
    event = st.dataframe(
        rows,
        hide_index=True,
        column_order=order,
        on_select="rerun",
        selection_mode="multi-row",
        key=table_key(),
        height=min(37 + 35 * len(runs), 560),
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
        downloads(rows, "runs")
    return [runs[row] for row in event.selection.rows if row < len(runs)]


def show_tagging(chosen: list[Run]) -> None:
    fields = FieldErrors()
    tagged = st.session_state.get(TAGGED, 0)  # times: each empties the field
    with st.popover(f"Tag {len(chosen)}", icon=":material/label:"), st.form("tag", border=False):
        tag = st.text_input(
            "Tag", max_chars=50, placeholder="letters, digits, - _ . :", key=f"tag-{tagged}", persist_state="page"
        )
        fields.show("/tags")
        add, remove = st.form_submit_button("Add tag"), st.form_submit_button("Remove tag")
        if tag and (add or remove):
            with show_api_errors(fields):
                for run in chosen:
                    rest = [item for item in run.tags if item != tag]
                    api().change_run(run.id, RunPatch(tags=[*rest, tag] if add else rest))
                st.session_state[TAGGED] = tagged + 1
                st.rerun()


def show_actions(chosen: list[Run]) -> None:
    if not chosen:
        st.caption("Select rows at the left edge to open, compare, cancel, retry, clone, tag, archive or delete runs.")
        return
    ids = [run.id for run in chosen]
    active = [run for run in chosen if not run.status.final]
    ended = [run for run in chosen if run.status in (Status.FAILED, Status.CANCELLED)]
    final = [run for run in chosen if run.status.final]
    stored = [run for run in chosen if run.checkpoint_step is not None]
    with st.container(horizontal=True):
        if st.button("Open", icon=":material/show_chart:", disabled=len(chosen) != 1):
            st.switch_page("app_pages/run.py", query_params={"run": str(ids[0])})
        if st.button(f"Compare {len(ids)}", icon=":material/scatter_plot:"):
            st.switch_page("app_pages/compare.py", query_params={"runs": joined(ids)})
        if st.button(
            f"Maps of {len(stored)}",
            icon=":material/blur_on:",
            disabled=not 1 <= len(stored) <= MAX_MAPS,
            help=f"Saliency maps of up to {MAX_MAPS} trained runs",
        ):
            st.switch_page("app_pages/saliency.py", query_params={"runs": joined([run.id for run in stored])})
        clonable = len(chosen) == 1 and chosen[0].origin is Origin.TRAINED
        if st.button("Clone", icon=":material/content_copy:", disabled=not clonable, help="One run trained here"):
            st.switch_page("app_pages/launch.py", query_params={"clone": str(ids[0])})
        if st.button(f"Cancel {len(active)}", icon=":material/stop:", disabled=not active):
            act(BulkAction.CANCEL, [run.id for run in active])
        if st.button(f"Retry {len(ended)}", icon=":material/replay:", disabled=not ended):
            act(BulkAction.RETRY, [run.id for run in ended])
        show_tagging(chosen)
        move = BulkAction.UNARCHIVE if archived else BulkAction.ARCHIVE
        if st.button(f"{'Unarchive' if archived else 'Archive'} {len(ids)}", icon=":material/archive:"):
            act(move, ids)
        if st.button(
            f"Delete {len(final)}",
            icon=":material/delete:",
            disabled=not final,
            help="Cancel running runs before you delete them",
        ):
            confirm_delete([run.id for run in final])


def any_active() -> bool:
    try:
        return any(api().runs(status=status, limit=1).items for status in (Status.RUNNING, Status.QUEUED))
    except ApiError:
        return True


st.title("Runs")
with st.container(horizontal=True, vertical_alignment="bottom"):
    status = st.selectbox(
        "Status",
        [None, *(item.value for item in Status)],
        key="status",
        bind="query-params",
        format_func=lambda item: item or "any",
        width=150,
    )
    known = catalog()
    regularizer = st.selectbox(
        "Regularizer",
        [None, *(entry.key for entry in known.entries("regularizer"))],
        key="regularizer",
        bind="query-params",
        width=240,
        format_func=lambda item: known.label("regularizer", item) if item else "any",
    )
    dataset = st.selectbox(
        "Data set",
        [None, *(entry.key for entry in known.entries("dataset"))],
        key="dataset",
        bind="query-params",
        width=240,
        format_func=lambda item: known.label("dataset", item) if item else "any",
    )
    origin = st.selectbox(
        "Origin",
        [None, *(item.value for item in Origin)],
        key="origin",
        bind="query-params",
        width=150,
        format_func=lambda item: ORIGINS[Origin(item)] if item else "any",
    )
    experiment = st.number_input(
        "Experiment", 1, 2**31 - 1, None, key="experiment", bind="query-params", width=140, placeholder="any"
    )
    text = st.text_input(
        "Search", key="q", bind="query-params", placeholder="notes, tag or number", width=200, max_chars=200
    )
    orders = ORDERS | known.orders()
    sort = st.selectbox(
        "Sort by", list(orders), key="sort", bind="query-params", width=230, format_func=lambda item: orders[item]
    )
    archived = st.toggle("Show archived", key="archived", bind="query-params")
    every_result = st.toggle("All results", key="all", bind="query-params", help="One column per result")
filters: dict[str, Any] = {
    "status": status,
    "regularizer": regularizer,
    "dataset": dataset,
    "origin": origin,
    "experiment": experiment,
    "q": text or None,
    "archived": archived,
    "sort": sort,
}


@fragment(run_every=2 * REFRESH_SECONDS if any_active() else None)
def show_runs() -> None:
    count = st.session_state.get("runs_wanted", PAGE)
    runs, more = fetch(count)
    if not runs:
        if any(value for name, value in filters.items() if name != "sort"):
            st.info("No run matches these filters.", icon=":material/filter_alt:")
        else:
            st.info(
                "No runs yet: launch the demo from the home page, or your own experiment.", icon=":material/lightbulb:"
            )
            st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
            st.page_link("app_pages/launch.py", label="Launch", icon=":material/rocket_launch:")
        return
    actions = st.container()
    chosen = show_table(steady(runs))
    with actions:
        show_actions(chosen)
    if more and st.button("Show more", icon=":material/expand_more:"):
        st.session_state["runs_wanted"] = count + PAGE
        st.rerun(scope="fragment")


show_runs()
