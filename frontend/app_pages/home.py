"""The demo button, the state of the system, and the latest runs."""

import uuid

import streamlit as st

from densitylab.backend.shared.contracts import QueueName, Readiness, Run
from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.frontend.analysis.formatting import labels_of, run_name, with_interval
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.durations import duration
from densitylab.frontend.client.presets import DEMO
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.status import status_badge

RECENT = 8


def show_system(ready: Readiness) -> None:
    workers = {queue: ready.workers.get(queue, 0) for queue in QueueName}
    cells = st.columns(5)
    cells[0].metric("Database", "✓ ok" if ready.database == "ok" else "✕ error")
    cells[1].metric("Broker", "✓ ok" if ready.broker == "ok" else "✕ down")
    cells[2].metric(
        "Workers",
        f"{workers[QueueName.TRAIN]} training",
        help=", ".join(f"{queue.value}: {count}" for queue, count in workers.items()) + " (live workers by queue)",
    )
    cells[3].metric("Queued", ready.queued, help="Waiting tasks: trainings, evaluations, maps")
    cells[4].metric("Running", ready.running, help="Running tasks")
    for part, state in (("The database", ready.database), ("The broker", ready.broker)):
        if state != "ok":
            st.warning(
                f"{part} is not available: {state}. New runs wait and start when it is back.", icon=":material/warning:"
            )
    idle = [queue.value for queue, count in workers.items() if count == 0]
    if idle and ready.broker == "ok":
        st.warning(
            f"No worker serves these queues: {', '.join(idle)}. Start workers with `make up`.",
            icon=":material/warning:",
        )


def show_demo_button() -> None:
    runs = len(DEMO.request.sweep["lambda_"]) * len(DEMO.request.sweep["seed"])  # type: ignore[index, call-overload]
    with st.container(border=True):
        st.markdown(f"**{DEMO.label}** — {runs} runs, about {DEMO.minutes:g} minutes on two CPU cores")
        st.caption(DEMO.summary)
        if st.button("Launch the demo", type="primary", icon=":material/rocket_launch:"):
            with show_api_errors():
                experiment = api().launch(DEMO.request, idempotency_key=str(uuid.uuid4()))
                st.switch_page("app_pages/compare.py", query_params={"experiment": str(experiment.id)})


def show_run(run: Run) -> None:
    with st.container(border=True):
        name, status, outcome = st.columns([4, 2, 4], vertical_alignment="center")
        with name:
            st.page_link("app_pages/run.py", label=run_name(run, catalog()), query_params={"run": str(run.id)})
        with status:
            status_badge(run.status)
        with outcome:
            if not run.status.final:
                st.progress(
                    run.progress,
                    text=f"{run.stage or 'waiting'}, {duration(run.eta_seconds)} left"
                    if run.eta_seconds is not None
                    else run.stage or "waiting for a worker",
                )
            elif run.error:
                st.caption(f":red[{run.error.splitlines()[-1][:120]}]")
            else:
                labels = labels_of(run, catalog())
                accuracy = run.results.get(ACCURACY)
                if accuracy:
                    st.caption(f"{labels[ACCURACY]} {with_interval(accuracy)}")


def active() -> bool:
    try:
        ready = api().readiness()
    except ApiError:
        return True  # until it is back
    return ready.queued + ready.running > 0


@fragment(run_every=2 * REFRESH_SECONDS if active() else None)
def show_state() -> None:
    ready = api().readiness()
    show_system(ready)
    runs = api().runs(limit=RECENT).items
    st.subheader("Recent runs")
    if not runs:
        st.info(
            "No runs yet. Launch the demo above, or your own experiment on the Launch page.",
            icon=":material/lightbulb:",
        )
    for run in runs:
        show_run(run)


st.title("DensityLab")
st.markdown(
    "See what image classifiers rely on: train them with marginal-density smoothing or another regularizer, "
    "and compare saliency maps, accuracy and robustness."
)
show_demo_button()
show_state()
links = st.columns(4)
with links[0]:
    st.page_link("app_pages/launch.py", label="Launch an experiment", icon=":material/rocket_launch:")
with links[1]:
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
