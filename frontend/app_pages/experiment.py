"""One experiment: actions, groups over seeds, live curves, and its runs."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Experiment, Run, Status
from densitylab.backend.shared.statistics.groups import Column, Group, mean_over_seeds
from densitylab.frontend.analysis.comparison import Comparison, headline_columns, short_label, text
from densitylab.frontend.analysis.curve_names import METRIC_LABELS, metric_label
from densitylab.frontend.analysis.formatting import by_owner, counted, escaped, number, ranges, status_text
from densitylab.frontend.charts.figures import overlay
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog
from densitylab.frontend.ui.chart_card import table_icon
from densitylab.frontend.ui.curve_controls import choose_axes, choose_pause, is_paused
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.experiment_actions import (
    show_cancel_and_retry,
    show_experiment_actions,
    show_group_actions,
)
from densitylab.frontend.ui.kept_comparison import kept_comparison
from densitylab.frontend.ui.kept_rows import KeptRows
from densitylab.frontend.ui.live_chart import live_chart, load_charts
from densitylab.frontend.ui.query_params import query_int
from densitylab.frontend.ui.search_progress import show_search
from densitylab.frontend.ui.status import counts_text, progress_text

MAX_CURVES = 60
MAX_ENTRIES = 20  # of the legend; with more curves it lists groups
MAX_POINTS = 300
MANY = 100  # runs; larger experiments refresh more slowly


def show_state(experiment: Experiment, runs: Sequence[Run]) -> None:
    st.markdown(counts_text(experiment.counts))
    if not experiment.finished:
        positions = [run.queue_position for run in runs if run.queue_position is not None]
        next_run = f" · its next run is number {min(positions)} in the queue" if positions else ""
        st.progress(experiment.progress, text=f"{progress_text(experiment)}{next_run}")
    for run in runs:
        if run.status is Status.FAILED and run.error:
            st.error(f"**Run {run.id} failed:** {escaped(run.error.splitlines()[-1][:200])}", icon=":material/error:")
            break


def show_groups(comparison: Comparison, kept: KeptRows) -> list[Group]:
    """Draw a row per group of runs that differ only in the seed; return the selected groups."""
    by_id = {group.runs[0].id: group for group in comparison.groups}
    order = kept.order(list(by_id), every=True)
    groups = [by_id[number] for number in order]
    shown = {short_label(column, comparison, catalog()): column for column in headline_columns(comparison, catalog())}
    table = kept.table(lambda: _group_table(comparison, groups, shown))
    kept.show_caption(
        len(by_id) - len(order),
        "group",
        hint="Select groups at the left edge to cancel, retry or add to these alone.",
    )
    event = st.dataframe(
        table,
        hide_index=True,
        key=kept.key,
        on_select="rerun",
        selection_mode="multi-row",
        column_config={
            "Progress": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%", width="small"),
            "Group": st.column_config.TextColumn(pinned=True),
            "Runs": st.column_config.TextColumn(width=230),  # it grows while the runs change their status
            **{result: st.column_config.TextColumn(width=_width(table[result])) for result in shown if result in table},
        },
    )
    return [groups[row] for row in event.selection.rows if row < len(groups)]


def _group_table(comparison: Comparison, groups: Sequence[Group], shown: Mapping[str, Column]) -> pd.DataFrame:
    """Return a row per group; `shown`: the results by their labels."""
    rows = []
    for group in groups:
        counts: dict[Status, int] = {}
        for run in group.runs:
            counts[run.status] = counts.get(run.status, 0) + 1
        expected = [run for run in group.runs if not run.status.unsuccessful]
        over = all(run.status.final for run in group.runs) and len(expected) < len(group.runs)
        left = max((run.eta_seconds for run in group.runs if run.eta_seconds and not run.status.final), default=None)
        rows.append(
            {
                "Group": comparison.labels[comparison.index_of(group)],
                "Seeds": ranges(group.seeds) or "—",
                "Runs": ", ".join(f"{count} {status_text(status)}" for status, count in counts.items()),
                "Progress": None if over else round(100 * sum(run.progress for run in expected) / len(expected)),
                "Time left": "" if left is None else duration(left),
                **{result: _blank(text(mean_over_seeds(group, column))) for result, column in shown.items()},
            }
        )
    table = pd.DataFrame(rows)
    if all(run.status.final for group in comparison.groups for run in group.runs):
        table = table.drop(columns=["Progress", "Time left"])
    return table


def _width(cells: pd.Series) -> int:
    """Return the pixels of a column that cuts none of its cells."""
    return 24 + 8 * max(map(len, [str(cells.name), *cells]))


def _blank(value: str) -> str:
    return "" if value == "—" else value


def show_curves(comparison: Comparison, runs: Sequence[Run]) -> None:
    """Draw the curves of a metric, one per run, with their controls; a change of Pause reruns the whole page."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = st.selectbox(
            "Metric",
            list(METRIC_LABELS),
            list(METRIC_LABELS).index("validation_accuracy"),
            key="metric",
            bind="query-params",
            format_func=metric_label,
            width=260,
        )
        axes = choose_axes()
        if live:
            choose_pause(paused)
    names = {run.id: comparison.label_of(run) for run in runs[:MAX_CURVES]}
    series = [item for item in api().metrics_of(list(names), [metric], max_points=MAX_POINTS) if item.points]
    if not series:
        st.info(
            f"No values of {metric_label(metric)} yet: curves start with the first training steps.",
            icon=":material/hourglass_empty:",
        )
        return
    figure = overlay(
        metric_label(metric),
        metric_label(metric),
        series,
        names,
        comparison.run_colors,
        comparison.run_dashes,
        x=axes.x,
        log_x=axes.log_x,
        log_y=axes.log_y,
        groups=comparison.group_of_run if len(series) > MAX_ENTRIES else None,
    )
    live_chart(
        figure, key=f"overlay-{metric}", label=f"{metric_label(metric)} of {counted(len(series), 'run')}", height=430
    )
    if len(runs) > MAX_CURVES:
        st.caption(f"The first {MAX_CURVES} of {len(runs)} runs are shown.")

    def show_latest() -> None:
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "Run": item.run,
                        "Settings": names[item.run],
                        "Step": item.points[-1].step,
                        metric_label(item.name): number(item.points[-1].value),
                    }
                    for item in series
                ]
            ),
            hide_index=True,
        )

    table_icon(show_latest, key="latest-values", label="The latest values as a table")


def stage_text(run: Run) -> str:
    if run.status.final:
        return ""
    if run.queue_position is not None:
        return f"#{run.queue_position} in the queue"
    return run.stage or "waiting for a worker"


def show_runs(comparison: Comparison, runs: Sequence[Run]) -> None:
    st.caption("Select a row to open its run.")
    named = any(run.name for run in runs)
    event = st.dataframe(
        pd.DataFrame(
            [
                {
                    "Run": run.id,
                    **({"Name": run.name or ""} if named else {}),
                    "Settings": comparison.settings_of(run),
                    "Status": status_text(run.status),
                    "Progress": round(100 * run.progress),
                    "Time left": "" if run.status.final or run.eta_seconds is None else duration(run.eta_seconds),
                    "Stage": stage_text(run),
                    "Error": run.error.splitlines()[-1][:120] if run.error else "",
                }
                for run in runs
            ]
        ),
        hide_index=True,
        key="runs",
        on_select="rerun",
        selection_mode="single-row",
        height=min(37 + 35 * len(runs), 420),
        column_config={
            "Progress": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%", width="small")
        },
    )
    chosen = [row for row in event.selection.rows if row < len(runs)]
    if chosen:
        st.switch_page("app_pages/run.py", query_params={"run": str(runs[chosen[0]].id)})


experiment_id = query_int("experiment")
if experiment_id is None:
    st.title("Experiment")
    st.info("Choose an experiment from the list.", icon=":material/lightbulb:")
    st.page_link("app_pages/experiments.py", label="All experiments", icon=":material/science:")
    st.stop()
try:
    first, first_runs = api().experiment(experiment_id), api().runs_of(experiment_id)
except ApiError as error:
    st.title(f"Experiment {experiment_id}")
    if error.status != 404:
        raise
    st.error(f"There is no experiment {experiment_id}; it may have been deleted.", icon=":material/link_off:")
    st.page_link("app_pages/experiments.py", label="All experiments", icon=":material/science:")
    st.stop()

st.title(escaped(first.name))
tags_text = " ".join(f":gray-badge[{escaped(tag)}]" for tag in first.tags)
st.caption(
    f"experiment {first.id} · {counted(len(first_runs), 'run')} · {first.created_at:%Y-%m-%d %H:%M} UTC"
    f"{by_owner(first.owner)} {tags_text}" + (" · **archived**" if first.archived else "")
)
if first.notes:
    st.markdown(escaped(first.notes))
if not first_runs:
    st.info("All runs of this experiment are deleted or archived.", icon=":material/inbox:")
live = not first.finished
load_charts()
first_comparison = kept_comparison(first_runs)
show_experiment_actions(first, first_runs, first_comparison)
paused = live and is_paused()
pace = REFRESH_SECONDS if len(first_runs) < MANY else 5 * REFRESH_SECONDS


just_fetched = [(first, first_runs, first_comparison)]  # for the first time that the part below is drawn


@fragment(run_every=pace if live and not paused else None)
def show_live() -> None:
    if just_fetched:
        experiment, runs, comparison = just_fetched.pop()
    else:
        experiment, runs = api().experiment(first.id), api().runs_of(first.id)
        comparison = kept_comparison(runs)
    if live and experiment.finished:
        st.rerun()  # the whole page, without refresh
    if not runs:
        return
    show_state(experiment, runs)
    actions = st.container()
    if experiment.search is not None:
        show_search(experiment.id)
    groups = KeptRows(f"groups-{experiment.id}")
    selected = show_groups(comparison, groups)
    with actions:
        nothing_else = all(run.status is Status.SUCCEEDED for run in runs)  # a row of buttons keeps the table in place
        if selected or nothing_else:
            show_group_actions(experiment, selected, groups)
        else:
            show_cancel_and_retry(runs)
    show_curves(comparison, runs)
    show_runs(comparison, runs)


show_live()
