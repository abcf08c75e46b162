"""One run: its state, live curves, results, spec, provenance, log and files."""

import pandas as pd
import streamlit as st

from backend.shared.contracts import Evaluation, MetricSeries, Run, RunPatch, Status
from frontend.bulk import freed_by_deleting
from frontend.catalog import Catalog
from frontend.charts import PANELS, SECONDARY_PANELS, X_LABELS, Panel, curves, metric_label
from frontend.client import ApiError
from frontend.live_chart import live_chart, load_charts
from frontend.measure_form import measure_form
from frontend.parts import (
    REFRESH_SECONDS,
    api,
    catalog,
    flash,
    problems_shown,
    query_int,
    query_ints,
    show_problem,
    status_badge,
)
from frontend.results import show_results
from frontend.words import duration, escaped, joined, number, run_name, size

MAX_POINTS = 800
LOG_LINES = 200


def show_header(run: Run, offered: Catalog) -> None:
    status, progress, facts = st.columns([1, 3, 3], vertical_alignment="center")
    with status:
        status_badge(run.status)
    with progress:
        if run.status.final:
            took = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
            st.caption(f"took {duration(took)}" if took is not None else "never started")
        else:
            left = f", {duration(run.eta_seconds)} left" if run.eta_seconds is not None else ""
            stage = run.stage or "waits for a worker"
            if run.queue_position is not None:
                stage = f"place {run.queue_position} in the queue, {run.priority.value} priority"
            st.progress(run.progress, text=f"{stage} · {run.progress:.0%}{left}")
    with facts:
        st.caption(f"attempt {run.attempt} · device {run.device or 'not chosen yet'} · "
                   f"experiment {run.experiment} · created {run.created_at:%Y-%m-%d %H:%M} UTC")
    for flag in run.flags:
        st.warning(escaped(flag.text), icon=":material/warning:")
    if run.error:
        st.error(f"**{run.status.value.capitalize()}:** {escaped(run.error)}", icon=":material/error:")
        lines = api().log(run.id, limit=20)
        if lines:
            st.code("\n".join(line.text for line in lines), language=None)


def show_actions(run: Run) -> None:
    with st.container(horizontal=True):
        if not run.status.final and st.button("Cancel", icon=":material/stop:"):
            with problems_shown():
                api().cancel_run(run.id)
                flash("Cancelling: the run stops within seconds and keeps its last checkpoint.")
                st.rerun()
        if run.status in (Status.FAILED, Status.CANCELLED) and st.button("Retry", icon=":material/replay:"):
            with problems_shown():
                api().retry_run(run.id)
                flash("Queued again; it goes on from its last checkpoint if it has one.")
                st.rerun()
        if st.button("Clone and edit", icon=":material/content_copy:"):
            st.switch_page("app_pages/launch.py", query_params={"clone": str(run.id)})
        # A comparison that led here names the runs to stand beside this one
        beside = [run_id for run_id in query_ints("with") if run_id != run.id]
        label = f"Saliency maps, beside {len(beside)} more" if beside else "Saliency maps"
        if st.button(label, icon=":material/blur_on:", disabled=run.checkpoint_step is None):
            st.switch_page("app_pages/saliency.py", query_params={"runs": joined([run.id, *beside])})
        if st.button("Compare its experiment", icon=":material/scatter_plot:"):
            st.switch_page("app_pages/compare.py", query_params={"experiment": str(run.experiment)})
        if st.button("Experiment", icon=":material/science:"):
            st.switch_page("app_pages/experiment.py", query_params={"experiment": str(run.experiment)})
        show_editor(run)
        if st.button("Unarchive" if run.archived else "Archive", icon=":material/archive:"):
            with problems_shown():
                api().change_run(run.id, RunPatch(archived=not run.archived))
                st.rerun()
        if st.button("Delete", icon=":material/delete:", disabled=not run.status.final,
                     help="A run at work must be cancelled first"):
            confirm_delete(run)


def show_editor(run: Run) -> None:
    with st.popover("Notes and tags", icon=":material/edit:"), st.form("editor", border=False):
        notes = st.text_area("Notes", run.notes, height=160, max_chars=20_000)
        tags = st.multiselect("Tags", run.tags, run.tags, accept_new_options=True, placeholder="type and press Enter")
        if st.form_submit_button("Save", icon=":material/save:"):
            with problems_shown():
                api().change_run(run.id, RunPatch(notes=notes, tags=tags))
                st.rerun()


@st.dialog("Delete the run")
def confirm_delete(run: Run) -> None:
    with problems_shown():
        st.markdown(f"Delete run {run.id} with its curves, results and files? This frees "
                    f"**{size(freed_by_deleting([run.id]))}** and cannot be undone.")
        with st.container(horizontal=True):
            if st.button("Delete", type="primary", icon=":material/delete:"):
                freed = api().delete_run(run.id).bytes
                flash(f"Deleted run {run.id}; {size(freed)} freed.")
                st.switch_page("app_pages/runs.py")
            if st.button("Keep it"):
                st.rerun()


def show_panel(panel: Panel, series: list[MetricSeries], key: str) -> None:
    figure = curves(panel, series, x=x_axis, log_x=log_x, log_y=log_y)
    latest = ", ".join(
        f"{metric_label(item.name)} {number(item.points[-1].value)}"
        for item in series if item.name in panel.metrics and item.points
    )
    live_chart(figure, key=key, label=f"{panel.title} over {X_LABELS[x_axis]}. Latest: {latest}.", height=290)


def show_curves(series: list[MetricSeries]) -> None:
    if not any(item.points for item in series):
        st.info("No points yet: the curves begin with the first steps of training.", icon=":material/hourglass_empty:")
        return
    present = {item.name for item in series if item.points}
    for start in range(0, len(PANELS), 2):
        for place, (cell, panel) in enumerate(zip(st.columns(2), PANELS[start:start + 2], strict=False)):
            if present & set(panel.metrics):
                with cell:
                    show_panel(panel, series, f"curve-{start + place}")
    with st.expander("λ, learning rate and speed"):
        shown = [panel for panel in SECONDARY_PANELS if present & set(panel.metrics)]
        cells = st.columns(2)
        for place, panel in enumerate(shown):
            with cells[place % 2]:
                show_panel(panel, series, f"secondary-{place}")
    with st.expander("These curves as a table"):
        frames = [
            pd.Series({point.step: point.value for point in item.points}, name=metric_label(item.name))
            for item in series if item.points
        ]
        st.dataframe(pd.concat(frames, axis=1).sort_index().rename_axis("step"), height=300)


def show_log(run: Run) -> None:
    with st.expander("Log", expanded=bool(run.error), icon=":material/notes:"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            wanted = st.text_input("Search the log", key="log", bind="query-params", placeholder="any text", width=260)
            st.download_button(
                "Whole log", lambda: api().log_text(run.id), f"run-{run.id}.log", "text/plain", key="log-file",
                on_click="ignore", icon=":material/download:",
            )
        lines = api().log(run.id, q=wanted or None, limit=LOG_LINES)
        if not lines:
            st.caption("No line says that." if wanted else "Empty so far.")
            return
        with st.container(height=260, autoscroll=True):
            st.code("\n".join(f"{line.at:%H:%M:%S} {line.level:<7} {line.text}" for line in lines), language=None)
        if len(lines) == LOG_LINES:
            st.caption(f"The last {LOG_LINES} lines" + (" that say that." if wanted else "."))


def show_spec(run: Run) -> None:
    left, right = st.columns(2)
    with left, st.expander("Spec: everything that decides this run"):
        st.json(run.spec.model_dump(mode="json"))
    with right, st.expander("Provenance: code, packages, data"):
        st.json(run.provenance or {"not known yet": "filled in when the run starts"})


def show_files(run: Run) -> None:
    with st.expander("Files"):
        files = api().artifacts(run.id)
        if not files:
            st.caption("None yet: the first checkpoint appears with the first epoch.")
        for file in files:
            name, facts, action = st.columns([3, 3, 2], vertical_alignment="center")
            name.markdown(f"`{file.name}`")
            facts.caption(size(file.bytes) + (f", step {file.step}" if file.step is not None else ""))
            with action:
                # The file is fetched by the click, not by drawing the page
                st.download_button(
                    "Download", lambda name=file.name: api().artifact(run.id, name), file_name=file.name,
                    mime=file.media_type, key=f"file-{file.name}", on_click="ignore", icon=":material/download:",
                )


def is_active(run: Run, evaluations: list[Evaluation]) -> bool:
    return not run.status.final or any(not item.status.final for item in evaluations)


run_id = query_int("run")
if run_id is None:
    st.title("Run")
    st.info("Choose a run on the Runs page to see it here.", icon=":material/lightbulb:")
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
    st.stop()
try:
    first, measures = api().run(run_id), api().evaluations(run_id)
except ApiError as error:
    st.title(f"Run {run_id}")
    if error.status != 404:
        show_problem(error)
    else:
        st.error(f"There is no run {run_id}; it may have been deleted.", icon=":material/link_off:")
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
    st.stop()

st.title(run_name(first, catalog()))
if first.tags or first.archived:
    tags_text = " ".join(f":gray-badge[{escaped(tag)}]" for tag in first.tags)
    st.caption(tags_text + " **archived**" * first.archived)
if first.notes:
    st.markdown(escaped(first.notes))
live = is_active(first, measures)
load_charts()
show_actions(first)
with st.container(horizontal=True, vertical_alignment="bottom"):
    x_axis = st.segmented_control("Over", list(X_LABELS), default="step", required=True, key="x", bind="query-params")
    log_x = st.toggle("Log x", key="logx", bind="query-params")
    log_y = st.toggle("Log y", key="logy", bind="query-params")
    paused = st.toggle("Pause", key="pause", help="Stops refreshing, so that you can look in peace.") if live else False


@st.fragment(run_every=REFRESH_SECONDS if live and not paused else None)
def show_live() -> None:
    with problems_shown(retrying=live):
        run, evaluations = api().run(run_id), api().evaluations(run_id)
        if live and not is_active(run, evaluations):
            st.rerun()  # once more as a whole, without refreshing
        show_header(run, catalog())
        show_curves(api().metrics(run_id, max_points=MAX_POINTS))
        show_results(run, evaluations, catalog())
        show_log(run)


show_live()
measure_form(first)
show_spec(first)
show_files(first)
