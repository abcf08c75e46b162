"""One experiment: seeds grouped, its runs' curves on top of each other while they grow, and what can be done to it."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from backend.shared.contracts import BulkAction, Experiment, ExperimentPatch, Run, RunsRequest, Status
from frontend.aggregate import mean_over_seeds
from frontend.bulk import act, freed_by_deleting
from frontend.charts import METRIC_LABELS, X_LABELS, metric_label, overlay
from frontend.client import ApiError
from frontend.comparison import HEADLINES, Comparison, compare, short_label, text
from frontend.live_chart import live_chart, load_charts
from frontend.parts import (
    REFRESH_SECONDS,
    api,
    catalog,
    counts_text,
    flash,
    problems_shown,
    query_int,
    show_problem,
)
from frontend.widgets import parse_numbers, problem
from frontend.words import duration, escaped, joined, number, size, status_text

MAX_MAPS = 6
MAX_CURVES = 60
MAX_POINTS = 300
MANY = 100  # runs, from which on a refresh every second would be too much


def is_active(experiment: Experiment) -> bool:
    return any(experiment.counts.get(status) for status in (Status.QUEUED, Status.RUNNING))


@st.dialog("Delete the experiment")
def confirm_delete(experiment: Experiment, runs: Sequence[Run]) -> None:
    with problems_shown():
        freed = freed_by_deleting([run.id for run in runs])
        st.markdown(f"Delete **{escaped(experiment.name)}** and its {len(runs)} runs with their curves, results and "
                    f"files? This frees **{size(freed)}** and cannot be undone.")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:"):
            with problems_shown():
                freed = api().delete_experiment(experiment.id).bytes
                flash(f"Deleted experiment {experiment.id}; {size(freed)} freed.")
                st.switch_page("app_pages/experiments.py")
        if st.button("Keep it"):
            st.rerun()


def show_editor(experiment: Experiment) -> None:
    with st.popover("Notes and tags", icon=":material/edit:"), st.form("editor", border=False):
        name = st.text_input("Name", experiment.name, max_chars=200)
        notes = st.text_area("Notes", experiment.notes, height=160, max_chars=20_000)
        tags = st.multiselect("Tags", experiment.tags, experiment.tags, accept_new_options=True,
                              placeholder="type and press Enter")
        if st.form_submit_button("Save", icon=":material/save:"):
            with problems_shown():
                api().change_experiment(experiment.id, ExperimentPatch(name=name, notes=notes, tags=tags))
                st.rerun()


def show_adding(experiment: Experiment, runs: Sequence[Run]) -> None:
    """More seeds or λ of what the experiment has."""
    with st.popover("Add seeds or λ", icon=":material/add:", disabled=not runs), st.form("adding", border=False):
        following = max((run.spec.seed for run in runs), default=-1) + 1
        seeds_text = st.text_input("More seeds", str(following), help="Each with every configuration there is")
        lambdas_text = st.text_input("More λ", help="Each with every seed there is; empty: none")
        if st.form_submit_button("Add", icon=":material/add:"):
            try:
                seeds = [int(seed) for seed in parse_numbers(seeds_text, int)] if seeds_text.strip() else None
                lambdas = parse_numbers(lambdas_text) if lambdas_text.strip() else None
            except ValueError as error:
                problem(str(error))
                return
            with problems_shown():
                answer = api().add_runs(experiment.id, RunsRequest(seeds=seeds, lambdas=lambdas, duplicates="skip"))
                there = f"; {len(answer.skipped)} were there already" if answer.skipped else ""
                flash(f"Added {len(answer.added)} runs{there}.")
                st.rerun()


def show_actions(experiment: Experiment, runs: Sequence[Run], found: Comparison) -> None:
    query = {"experiment": str(experiment.id)}
    active = [run for run in runs if not run.status.final]
    ended = [run for run in runs if run.status in (Status.FAILED, Status.CANCELLED)]
    trained = [run.id for group in found.groups for run in group.runs[:1] if run.checkpoint_step is not None]
    with st.container(horizontal=True):
        if st.button("Compare", icon=":material/scatter_plot:"):
            st.switch_page("app_pages/compare.py", query_params=query)
        if st.button("Saliency maps", icon=":material/blur_on:", disabled=not trained,
                     help=f"Of one run of each group, {MAX_MAPS} at most"):
            st.switch_page("app_pages/saliency.py", query_params={"runs": joined(trained[:MAX_MAPS])})
        if st.button("Clone and edit", icon=":material/content_copy:"):
            st.switch_page("app_pages/launch.py", query_params={"from": str(experiment.id)})
        show_adding(experiment, runs)
        show_editor(experiment)
        if st.button(f"Cancel {len(active)}", icon=":material/stop:", disabled=not active):
            act(BulkAction.CANCEL, [run.id for run in active])
        if st.button(f"Retry {len(ended)}", icon=":material/replay:", disabled=not ended):
            act(BulkAction.RETRY, [run.id for run in ended])
        label = "Back from the archive" if experiment.archived else "Archive"
        if st.button(label, icon=":material/archive:"):
            with problems_shown():
                api().change_experiment(experiment.id, ExperimentPatch(archived=not experiment.archived))
                st.rerun()
        if st.button("Delete", icon=":material/delete:", disabled=bool(active),
                     help="Runs at work must be cancelled first"):
            confirm_delete(experiment, runs)


def show_state(experiment: Experiment, runs: Sequence[Run]) -> None:
    st.markdown(counts_text(experiment.counts))
    if is_active(experiment):
        left = f", {duration(experiment.eta_seconds)} left" if experiment.eta_seconds is not None else ""
        places = [run.queue_position for run in runs if run.queue_position is not None]
        place = f" · the first that waits is at place {min(places)} of the queue" if places else ""
        st.progress(experiment.progress, text=f"{experiment.progress:.0%}{left}{place}")
    for run in runs:
        if run.status is Status.FAILED and run.error:
            st.error(f"**Run {run.id} failed:** {escaped(run.error.splitlines()[-1][:200])}", icon=":material/error:")
            break


def show_groups(found: Comparison) -> None:
    """One row for what differs in nothing but the seed."""
    rows = []
    shown = [column for column in found.columns if column.result in HEADLINES]
    for group, label in zip(found.groups, found.labels, strict=True):
        counts: dict[Status, int] = {}
        for run in group.runs:
            counts[run.status] = counts.get(run.status, 0) + 1
        left = max((run.eta_seconds for run in group.runs if run.eta_seconds and not run.status.final), default=None)
        rows.append({
            "Group": label,
            "Seeds": joined([run.spec.seed for run in group.runs]),
            "Runs": ", ".join(f"{count} {status_text(status)}" for status, count in counts.items()),
            "Progress": round(100 * sum(run.progress for run in group.runs) / len(group.runs)),
            "Time left": "" if left is None else duration(left),
            **{short_label(column, found, catalog()): _blank(text(mean_over_seeds(group, column))) for column in shown},
        })
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, key="groups",
        column_config={"Progress": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%",
                                                                   width="small"),
                       "Group": st.column_config.TextColumn(pinned=True)},
    )


def _blank(value: str) -> str:
    return "" if value == "—" else value


def show_curves(found: Comparison, runs: Sequence[Run]) -> None:
    names = {run.id: found.label_of(run) for run in runs[:MAX_CURVES]}
    series = [item for item in api().metrics_of(list(names), [metric], max_points=MAX_POINTS) if item.points]
    if not series:
        st.info(f"No points of {metric_label(metric)} yet: curves begin with the first steps of training.",
                icon=":material/hourglass_empty:")
        return
    figure = overlay(metric_label(metric), metric_label(metric), series, names, found.run_colors,
                     x=x_axis, log_x=log_x, log_y=log_y)
    live_chart(figure, key=f"overlay-{metric}", label=f"{metric_label(metric)} of {len(series)} runs", height=430)
    if len(runs) > MAX_CURVES:
        st.caption(f"The first {MAX_CURVES} of {len(runs)} runs are drawn.")
    with st.expander("The last value of each curve, as a table"):
        st.dataframe(pd.DataFrame([
            {"Run": item.run, "Which": names[item.run], "Step": item.points[-1].step,
             metric_label(item.name): number(item.points[-1].value)} for item in series
        ]), hide_index=True)


def doing(run: Run) -> str:
    if run.status.final:
        return ""
    if run.queue_position is not None:
        return f"place {run.queue_position} in the queue"
    return run.stage or "waits for a worker"


def show_runs(found: Comparison, runs: Sequence[Run]) -> None:
    st.caption("Select a run to open it.")
    event = st.dataframe(
        pd.DataFrame([
            {"Run": run.id, "Which": found.label_of(run), "Status": status_text(run.status),
             "Progress": round(100 * run.progress),
             "Time left": "" if run.status.final or run.eta_seconds is None else duration(run.eta_seconds),
             "Doing": doing(run),
             "Error": run.error.splitlines()[-1][:120] if run.error else ""}
            for run in runs
        ]),
        hide_index=True, key="runs", on_select="rerun", selection_mode="single-row",
        height=min(37 + 35 * len(runs), 420),
        column_config={"Progress": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%",
                                                                   width="small")},
    )
    chosen = [row for row in event.selection.rows if row < len(runs)]
    if chosen:
        st.switch_page("app_pages/run.py", query_params={"run": str(runs[chosen[0]].id)})


experiment_id = query_int("experiment")
if experiment_id is None:
    st.title("Experiment")
    st.info("Choose an experiment to see it here.", icon=":material/lightbulb:")
    st.page_link("app_pages/experiments.py", label="All experiments", icon=":material/science:")
    st.stop()
try:
    first, first_runs = api().experiment(experiment_id), api().runs_of(experiment_id)
except ApiError as error:
    st.title(f"Experiment {experiment_id}")
    if error.status != 404:
        show_problem(error)
    else:
        st.error(f"There is no experiment {experiment_id}; it may have been deleted.", icon=":material/link_off:")
    st.page_link("app_pages/experiments.py", label="All experiments", icon=":material/science:")
    st.stop()

st.title(escaped(first.name))
tags_text = " ".join(f":gray-badge[{escaped(tag)}]" for tag in first.tags)
st.caption(f"experiment {first.id} · {len(first_runs)} runs · {first.created_at:%Y-%m-%d %H:%M} UTC {tags_text}"
           + (" · **archived**" if first.archived else ""))
if first.notes:
    st.markdown(escaped(first.notes))
if not first_runs:
    st.info("All runs of this experiment were deleted or archived.", icon=":material/inbox:")
live = is_active(first)
load_charts()
show_actions(first, first_runs, compare(first_runs, catalog()))
with st.container(horizontal=True, vertical_alignment="bottom"):
    metric = st.selectbox("Curve", list(METRIC_LABELS), list(METRIC_LABELS).index("validation_accuracy"), key="metric",
                          bind="query-params", format_func=metric_label, width=260)
    x_axis = st.segmented_control("Over", list(X_LABELS), default="step", required=True, key="x", bind="query-params")
    log_x = st.toggle("Log x", key="logx", bind="query-params")
    log_y = st.toggle("Log y", key="logy", bind="query-params")
    paused = st.toggle("Pause", key="pause", help="Stops refreshing, so that you can look in peace.") if live else False
pace = REFRESH_SECONDS if len(first_runs) < MANY else 5 * REFRESH_SECONDS


just_fetched = [(first, first_runs)]  # for the first time that the part below is drawn


@st.fragment(run_every=pace if live and not paused else None)
def show_live() -> None:
    with problems_shown(retrying=live):
        experiment, runs = just_fetched.pop() if just_fetched else (api().experiment(first.id), api().runs_of(first.id))
        if live and not is_active(experiment):
            st.rerun()  # once more as a whole, without refreshing
        if not runs:
            return
        found = compare(runs, catalog())
        show_state(experiment, runs)
        show_groups(found)
        show_curves(found, runs)
        show_runs(found, runs)


show_live()
