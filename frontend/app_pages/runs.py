"""All runs: status, progress, key results, filters in the link, and actions on selected rows."""

from typing import Any

import pandas as pd
import streamlit as st

from backend.shared.contracts import BulkAction, Run, RunPatch, Status
from frontend.bulk import act, confirm_delete
from frontend.catalog import Catalog
from frontend.client import ApiError
from frontend.exports import downloads
from frontend.parts import REFRESH_SECONDS, api, catalog, problems_shown, show_problem
from frontend.words import duration, joined, labels_of, plus_minus, status_text

PAGE = 50
MAX_MAPS = 6
SHORT = ("accuracy.accuracy", "pgd_linf.accuracy", "pgd_l2.accuracy", "leakage.share")
ORDERS = {
    "-id": "newest first", "id": "oldest first", "-results.accuracy.accuracy": "most accurate",
    "-results.pgd_linf.accuracy": "best under PGD L∞", "results.leakage.share": "least leakage", "lambda_": "λ",
}


def fetch(wanted: int) -> tuple[list[Run], bool]:
    """The newest runs that pass the filters, and whether there are more."""
    runs: list[Run] = []
    cursor = None
    while len(runs) < wanted:
        page = api().runs(**filters, limit=min(PAGE, wanted - len(runs)), cursor=cursor)
        runs += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return runs, cursor is not None


def steady(runs: list[Run]) -> list[Run]:
    """While rows are selected each keeps its place, so that a new run does not shift the selection."""
    shown: list[int] = st.session_state.get("runs_shown", [])
    if not selected_rows() or st.session_state.get("runs_filters") != filters:
        st.session_state["runs_filters"] = dict(filters)
        st.session_state["runs_shown"] = [run.id for run in runs]
        return runs
    by_id = {run.id: run for run in runs}
    kept = [by_id[run_id] for run_id in shown if run_id in by_id]
    if len(kept) < len(shown):  # deleted meanwhile: places have moved, so the selection means nothing any more
        st.session_state["runs_version"] = st.session_state.get("runs_version", 0) + 1
        st.session_state["runs_shown"] = [run.id for run in runs]
        return runs
    if len(kept) < len(runs):
        st.caption(f"{len(runs) - len(kept)} newer not shown while rows are selected.")
    return kept


def table_key() -> str:
    return f"runs-table-{st.session_state.get('runs_version', 0)}"


def selected_rows() -> list[int]:
    state = st.session_state.get(table_key())
    return list(state.selection.rows) if state else []


def as_row(run: Run, offered: Catalog) -> dict[str, Any]:
    labels = labels_of(run, offered)
    row: dict[str, Any] = {
        "Status": status_text(run.status),
        "Run": run.id,
        "Progress": round(100 * run.progress),
        "Time left": "" if run.status.final or run.eta_seconds is None else duration(run.eta_seconds),
        "Regularizer": offered.label("regularizer", run.spec.regularizer.key),
        "λ": run.spec.lambda_,
        "Seed": run.spec.seed,
    }
    for result in [*SHORT, *(name for name in run.results if every_result and name not in SHORT)]:
        if result in run.results:
            # As few words as tell it: the measure's family goes
            row[labels[result].rpartition(", ")[2]] = plus_minus(run.results[result])
    row |= {
        "Model": offered.label("model", run.spec.model.key),
        "Data set": offered.label("dataset", run.spec.dataset.key),
        "Experiment": run.experiment,
    }
    if run.tags:
        row["Tags"] = ", ".join(run.tags)
    if run.notes:
        row["Notes"] = run.notes
    row["Created (UTC)"] = run.created_at.strftime("%Y-%m-%d %H:%M")
    return row


def show_table(runs: list[Run]) -> list[Run]:
    """Draws the table; gives the selected runs."""
    rows = pd.DataFrame([as_row(run, catalog()) for run in runs]).fillna("")
    if not any(rows["Time left"]):
        del rows["Time left"]
    ends = [name for name in ("Model", "Data set", "Experiment", "Tags", "Notes", "Created (UTC)") if name in rows]
    order = [name for name in rows if name not in ends] + ends
    event = st.dataframe(
        rows, hide_index=True, column_order=order, on_select="rerun", selection_mode="multi-row", key=table_key(),
        height=min(37 + 35 * len(runs), 560),
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
        st.caption("Value ± half of its 95 % interval.", width="content")
        downloads(rows, "runs")
    return [runs[row] for row in event.selection.rows if row < len(runs)]


def show_tagging(chosen: list[Run]) -> None:
    with st.popover(f"Tag {len(chosen)}", icon=":material/label:"), st.form("tag", border=False, clear_on_submit=True):
        tag = st.text_input("Tag", max_chars=50, placeholder="letters, digits, - _ . :")
        add, remove = st.form_submit_button("Add to these runs"), st.form_submit_button("Take from these runs")
        if tag and (add or remove):
            with problems_shown():
                for run in chosen:
                    rest = [item for item in run.tags if item != tag]
                    api().change_run(run.id, RunPatch(tags=[*rest, tag] if add else rest))
                st.rerun()


def show_actions(chosen: list[Run]) -> None:
    if not chosen:
        st.caption("Select rows at their left edge to open, compare, cancel, retry, clone, tag, archive or delete "
                   "them.")
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
        if st.button(f"Maps of {len(stored)}", icon=":material/blur_on:", disabled=not 1 <= len(stored) <= MAX_MAPS,
                     help=f"Saliency maps of 1 to {MAX_MAPS} trained runs"):
            st.switch_page("app_pages/saliency.py", query_params={"runs": joined([run.id for run in stored])})
        if st.button("Clone", icon=":material/content_copy:", disabled=len(chosen) != 1):
            st.switch_page("app_pages/launch.py", query_params={"clone": str(ids[0])})
        if st.button(f"Cancel {len(active)}", icon=":material/stop:", disabled=not active):
            act(BulkAction.CANCEL, [run.id for run in active])
        if st.button(f"Retry {len(ended)}", icon=":material/replay:", disabled=not ended):
            act(BulkAction.RETRY, [run.id for run in ended])
        show_tagging(chosen)
        move = BulkAction.UNARCHIVE if archived else BulkAction.ARCHIVE
        if st.button(f"{'Unarchive' if archived else 'Archive'} {len(ids)}", icon=":material/archive:"):
            act(move, ids)
        if st.button(f"Delete {len(final)}", icon=":material/delete:", disabled=not final,
                     help="Runs at work must be cancelled first"):
            confirm_delete([run.id for run in final])


def any_active() -> bool:
    try:
        return any(api().runs(status=status, limit=1).items for status in (Status.RUNNING, Status.QUEUED))
    except ApiError:
        return True


st.title("Runs")
with st.container(horizontal=True, vertical_alignment="bottom"):
    status = st.selectbox("Status", [None, *(item.value for item in Status)], key="status", bind="query-params",
                          format_func=lambda item: item or "any", width=150)
    offered_here = catalog()
    regularizer = st.selectbox(
        "Regularizer", [None, *(entry.key for entry in offered_here.entries("regularizer"))], key="regularizer",
        bind="query-params", width=240,
        format_func=lambda item: offered_here.label("regularizer", item) if item else "any",
    )
    dataset = st.selectbox(
        "Data set", [None, *(entry.key for entry in offered_here.entries("dataset"))], key="dataset",
        bind="query-params", width=240,
        format_func=lambda item: offered_here.label("dataset", item) if item else "any",
    )
    experiment = st.number_input("Experiment", 1, 2**31 - 1, None, key="experiment", bind="query-params", width=140,
                                 placeholder="any")
    text = st.text_input("Search", key="q", bind="query-params", placeholder="notes, tag or number", width=200)
    sort = st.selectbox("Order", list(ORDERS), key="sort", bind="query-params", width=190,
                        format_func=lambda item: ORDERS[item])
    archived = st.toggle("Archived", key="archived", bind="query-params")
    every_result = st.toggle("All results", key="all", bind="query-params", help="A column for every measure")
filters = {"status": status, "regularizer": regularizer, "dataset": dataset, "experiment": experiment,
           "q": text or None, "archived": archived, "sort": sort}


@st.fragment(run_every=2 * REFRESH_SECONDS if any_active() else None)
def show_runs() -> None:
    try:
        wanted = st.session_state.get("runs_wanted", PAGE)
        runs, more = fetch(wanted)
    except ApiError as error:
        show_problem(error)
        return
    if not runs:
        if any(value for name, value in filters.items() if name != "sort"):
            st.info("No run passes these filters.", icon=":material/filter_alt:")
        else:
            st.info("No runs yet: launch the demo from the home page, or your own.", icon=":material/lightbulb:")
            st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
            st.page_link("app_pages/launch.py", label="Launch", icon=":material/rocket_launch:")
        return
    actions = st.container()
    chosen = show_table(steady(runs))
    with actions:
        show_actions(chosen)
    if more and st.button("Show more", icon=":material/expand_more:"):
        st.session_state["runs_wanted"] = wanted + PAGE
        st.rerun(scope="fragment")


show_runs()
