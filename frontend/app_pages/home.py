"""State of the system, the demo in one click, and the latest runs."""

import uuid

import streamlit as st

from backend.shared.contracts import QueueName, Readiness, Run
from frontend.client import ApiError
from frontend.parts import REFRESH_SECONDS, api, catalog, problems_shown, status_badge
from frontend.presets import DEMO
from frontend.words import duration, labels_of, measured, run_name

RECENT = 8


def show_system(ready: Readiness) -> None:
    workers = {queue: ready.workers.get(queue, 0) for queue in QueueName}
    cells = st.columns(5)
    cells[0].metric("Database", "✓ ok" if ready.database == "ok" else "✕ wrong")
    cells[1].metric("Broker", "✓ ok" if ready.broker == "ok" else "✕ down")
    cells[2].metric(
        "Workers", f"{workers[QueueName.TRAIN]} training",
        help=", ".join(f"{queue.value}: {count}" for queue, count in workers.items()) + " (live now, by queue)",
    )
    cells[3].metric("Queued", ready.queued, help="Tasks that wait: trainings, evaluations, maps")
    cells[4].metric("Running", ready.running, help="Tasks at work now")
    for part, state in (("The database", ready.database), ("The broker", ready.broker)):
        if state != "ok":
            st.warning(f"{part} says: {state}. What you launch waits, and starts when it is back.",
                       icon=":material/warning:")
    idle = [queue.value for queue, count in workers.items() if count == 0]
    if idle and ready.broker == "ok":
        st.warning(f"No worker serves: {', '.join(idle)}. Start them with `make up`.", icon=":material/warning:")


def show_demo_button() -> None:
    runs = len(DEMO.request.sweep["lambda_"]) * len(DEMO.request.sweep["seed"])  # type: ignore[index, call-overload]
    with st.container(border=True):
        st.markdown(f"**{DEMO.label}** — {runs} runs, about {DEMO.minutes:g} minutes on two CPU cores")
        st.caption(DEMO.summary)
        if st.button("Launch the demo", type="primary", icon=":material/rocket_launch:"):
            with problems_shown():
                experiment = api().launch(DEMO.request, idempotency_key=str(uuid.uuid4()))
                st.switch_page("app_pages/compare.py", query_params={"experiment": str(experiment.id)})


def show_run(run: Run) -> None:
    offered = catalog()
    with st.container(border=True):
        name, status, outcome = st.columns([4, 2, 4], vertical_alignment="center")
        with name:
            st.page_link("app_pages/run.py", label=run_name(run, offered), query_params={"run": str(run.id)})
        with status:
            status_badge(run.status)
        with outcome:
            if not run.status.final:
                st.progress(run.progress, text=f"{run.stage or 'waits'}, {duration(run.eta_seconds)} left"
                            if run.eta_seconds is not None else run.stage or "waits for a worker")
            elif run.error:
                st.caption(f":red[{run.error.splitlines()[-1][:120]}]")
            else:
                labels = labels_of(run, offered)
                accuracy = run.results.get("accuracy.accuracy")
                if accuracy:
                    st.caption(f"{labels['accuracy.accuracy']} {measured(accuracy)}")


def active() -> bool:
    try:
        ready = api().readiness()
    except ApiError:
        return True  # until it is back
    return ready.queued + ready.running > 0


@st.fragment(run_every=2 * REFRESH_SECONDS if active() else None)
def show_state() -> None:
    with problems_shown(retrying=True):
        ready = api().readiness()
        show_system(ready)
        runs = api().runs(limit=RECENT).items
        st.subheader("Recent runs")
        if not runs:
            st.info("No runs yet. Launch the demo above, or draw up your own experiment on the Launch page.",
                    icon=":material/lightbulb:")
        for run in runs:
            show_run(run)


st.title("DensityLab")
st.markdown("See what image classifiers rely on: train them with marginal-density smoothing, watch them learn, "
            "and compare what changed.")
show_demo_button()
show_state()
links = st.columns(4)
with links[0]:
    st.page_link("app_pages/launch.py", label="Launch your own", icon=":material/rocket_launch:")
with links[1]:
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
