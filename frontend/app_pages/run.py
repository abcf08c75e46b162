"""One run: status, headline results, live curves, results, settings, provenance, log and files."""

import functools

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Evaluation, MetricSeries, Origin, Run
from densitylab.frontend.analysis.curve_names import metric_label
from densitylab.frontend.analysis.formatting import (
    by_owner,
    counted,
    escaped,
    number,
    run_flags,
    run_heading,
    run_words,
    size,
)
from densitylab.frontend.analysis.origins import ORIGINS
from densitylab.frontend.charts.figures import SECONDARY_PANELS, X_LABELS, Panel, curves, panels_of
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.durations import duration
from densitylab.frontend.launch_form.evaluation_form import show_evaluation_form
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog, show_api_errors
from densitylab.frontend.ui.chart_card import show_table, table_icon
from densitylab.frontend.ui.curve_controls import Axes, choose_axes, choose_pause, is_paused
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.folded import folded
from densitylab.frontend.ui.live_chart import live_chart, load_charts
from densitylab.frontend.ui.query_params import query_int
from densitylab.frontend.ui.run_actions import show_run_actions
from densitylab.frontend.ui.run_headlines import show_headlines
from densitylab.frontend.ui.run_lineage import show_lineage
from densitylab.frontend.ui.run_results import show_results
from densitylab.frontend.ui.run_settings import show_run_settings
from densitylab.frontend.ui.run_source import show_source
from densitylab.frontend.ui.status import status_badge
from densitylab.frontend.ui.take_away import show_take_away

MAX_POINTS = 800
LOG_LINES = 200


def show_header(run: Run, catalog: Catalog) -> None:
    status, progress, facts = st.columns([1, 3, 3], vertical_alignment="center")
    with status:
        status_badge(run.status)
    with progress:
        if run.status.final:
            took = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
            st.caption(f"took {duration(took)}" if took is not None else "not started")
        else:
            left = f", {duration(run.eta_seconds)} of training left" if run.eta_seconds is not None else ""
            evaluations = f", then {counted(len(run.evaluations), 'evaluation')}" if run.evaluations else ""
            stage = run.stage or "waiting for a worker"
            if run.queue_position is not None:
                stage = f"#{run.queue_position} in the queue, {run.priority.value} priority"
            st.progress(run.progress, text=f"{stage} · {run.progress:.0%}{left}{evaluations}")
    with facts:
        st.caption(
            f"attempt {run.attempt} · device {run.device or 'not assigned yet'} · "
            f"experiment {run.experiment} · created {run.created_at:%Y-%m-%d %H:%M} UTC{by_owner(run.owner)}"
        )
    for entry in run.missing:
        st.warning(
            f"This run uses the {escaped(entry)}. Its results and settings stay readable; what used the "
            "entry cannot be repeated without the plug-in.",
            icon=":material/extension_off:",
        )
    for flag in run.flags:
        st.warning(escaped(flag.text), icon=":material/warning:")
    if run.error:
        st.error(f"**{run.status.value.capitalize()}:** {escaped(run.error)}", icon=":material/error:")
        lines = api().log(run.id, limit=20)
        if lines:
            st.code("\n".join(line.text for line in lines), language=None)


def choose_curve_axes() -> Axes:
    """Draw the controls of the curves, of which an imported model has none."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        axes = choose_axes() if with_curves else Axes()
        if live:
            choose_pause(paused)
    return axes


def show_panel(panel: Panel, series: list[MetricSeries], key: str, axes: Axes) -> None:
    figure = curves(panel, series, x=axes.x, log_x=axes.log_x, log_y=axes.log_y)
    latest = ", ".join(
        f"{metric_label(item.name)} {number(item.points[-1].value)}"
        for item in series
        if item.name in panel.metrics and item.points
    )
    live_chart(figure, key=key, label=f"{panel.title} over {X_LABELS[axes.x]}. Latest: {latest}.", height=290)


def show_curves(series: list[MetricSeries], axes: Axes) -> None:
    if not any(item.points for item in series):
        st.info("No points yet: the curves start with the first training steps.", icon=":material/hourglass_empty:")
        return
    present = {item.name for item in series if item.points}
    for index, panel in enumerate(panels_of(present)):
        if index % 2 == 0:
            cells = st.columns(2)
        with cells[index % 2]:
            show_panel(panel, series, f"curve-{panel.title}", axes)
    shown = [panel for panel in SECONDARY_PANELS if present & set(panel.metrics)]

    def show_secondary() -> None:
        cells = st.columns(2)
        for index, panel in enumerate(shown):
            with cells[index % 2]:
                show_panel(panel, series, f"secondary-{index}", axes)

    folded("λ, learning rate and throughput", show_secondary, key="secondary-curves")
    table_icon(functools.partial(show_curve_table, series), key="curves-table", label="The curves as a table")


def show_curve_table(series: list[MetricSeries]) -> None:
    frames = [
        pd.Series({point.step: point.value for point in item.points}, name=metric_label(item.name))
        for item in series
        if item.points
    ]
    table = pd.concat(frames, axis=1).sort_index().rename_axis("step").reset_index()
    show_table(table, f"run-{run_id}-curves")


def show_log(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input(
            "Search the log", key="log", bind="query-params", placeholder="any text", width=260, max_chars=200
        )
        st.download_button(
            "Download the log",
            functools.partial(api().log_text, run.id),
            f"run-{run.id}.log",
            "text/plain",
            key="log-file",
            on_click="ignore",
            icon=":material/download:",
        )
    lines = api().log(run.id, q=search or None, limit=LOG_LINES)
    if not lines:
        st.caption("No matching lines." if search else "No log lines yet.")
        return
    with st.container(height=260, autoscroll=True):
        st.code("\n".join(f"{line.at:%H:%M:%S} {line.level:<7} {line.text}" for line in lines), language=None)
    if len(lines) == LOG_LINES:
        st.caption(f"The last {LOG_LINES} {'matching ' if search else ''}lines.")


def show_files(run: Run) -> None:
    if run.checkpoint_step is not None:
        with show_api_errors():  # the data set may have been removed
            show_take_away(run)
    files = api().artifacts(run.id)
    if not files:
        st.caption("No files yet.")
    for file in files:
        name, facts, action = st.columns([3, 3, 2], vertical_alignment="center")
        name.markdown(f"`{file.name}`")
        facts.caption(size(file.bytes) + (f", step {file.step}" if file.step else ""))
        with action:
            # A click fetches the file; drawing the page does not
            st.download_button(
                "Download",
                functools.partial(api().artifact, run.id, file.name),
                file_name=file.name,
                mime=file.media_type,
                key=f"file-{file.name}",
                on_click="ignore",
                icon=":material/download:",
            )


def is_active(run: Run, evaluations: list[Evaluation]) -> bool:
    return not run.status.final or any(not item.status.final for item in evaluations)


run_id = query_int("run")
if run_id is None:
    st.title("Run")
    st.info("Choose a run on the Runs page.", icon=":material/lightbulb:")
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
    st.stop()
try:
    first, evaluations = api().run(run_id), api().evaluations(run_id)
except ApiError as error:
    st.title(f"Run {run_id}")
    if error.status != 404:
        raise
    st.error(f"There is no run {run_id}; it may have been deleted.", icon=":material/link_off:")
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
    st.stop()

st.title(f"{run_heading(first)}: {escaped(first.name or api().experiment(first.experiment).name)}")
st.markdown(f"**{escaped(run_words(first, catalog()))}**")
badges = [f":red-badge[:material/warning: {words}]" for words in run_flags(first)]
badges += [f":blue-badge[{ORIGINS[first.origin]}]"] if first.origin is not Origin.TRAINED else []
badges += [f":gray-badge[{escaped(tag)}]" for tag in first.tags]
if badges or first.archived:
    st.caption(" ".join(badges) + " **archived**" * first.archived)
if first.notes:
    st.markdown(escaped(first.notes))
show_lineage(first)
live = is_active(first, evaluations)
load_charts()
show_run_actions(first)
with_curves = first.origin is not Origin.IMPORTED
paused = live and is_paused()


@fragment(run_every=REFRESH_SECONDS if live and not paused else None)
def show_live() -> None:
    run, evaluations = api().run(first.id), api().evaluations(first.id)
    if live and not is_active(run, evaluations):
        st.rerun()  # the whole page, without refresh
    show_header(run, catalog())
    if run.origin is not Origin.TRAINED:
        show_source(run)
    show_headlines(run, evaluations, catalog())
    axes = choose_curve_axes()
    if with_curves:
        show_curves(api().metrics(first.id, max_points=MAX_POINTS), axes)
    show_results(run, evaluations, catalog())
    folded("Log", functools.partial(show_log, run), key="run-log", expanded=bool(run.error), icon=":material/notes:")


show_live()
show_evaluation_form(first)
show_run_settings(first, catalog())
folded("Files", functools.partial(show_files, first), key="run-files")
