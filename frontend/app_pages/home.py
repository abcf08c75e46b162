"""The home page: running experiments, the newest results, the latest runs, and the demo."""

import uuid
from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.frontend.analysis.formatting import escaped, labels_of, run_name, with_interval
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.durations import duration
from densitylab.frontend.client.presets import DEMO
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.home.newest_results import show_newest_results
from densitylab.frontend.ui.home.running import show_running
from densitylab.frontend.ui.home.system_line import show_system_line, starting
from densitylab.frontend.ui.live_chart import load_charts
from densitylab.frontend.ui.status import status_badge
from densitylab.frontend.ui.studies.pointer import show_pointer

RECENT, EXPERIMENTS = 8, 20


def show_demo_button() -> None:
    runs = len(DEMO.request.sweep["lambda_"]) * len(DEMO.request.sweep["seed"])  # type: ignore[index, call-overload]
    with st.container(border=True):
        st.markdown(f"**{DEMO.label}** — {runs} runs, about {DEMO.minutes:g} minutes on two CPU cores")
        st.caption(DEMO.summary)
        if st.button("Launch the demo", type="primary" if not used else "secondary", icon=":material/rocket_launch:"):
            with show_api_errors():
                experiment = api().launch(DEMO.request, idempotency_key=str(uuid.uuid4()))
                st.switch_page("app_pages/compare.py", query_params={"experiment": str(experiment.id)})


def show_run(run: Run) -> None:
    with st.container(border=True):
        name, status, outcome = st.columns([4, 2, 4], vertical_alignment="center")
        with name:
            st.page_link("app_pages/run.py", label=escaped(run_name(run, catalog())), query_params={"run": str(run.id)})
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
                st.caption(f":red[{escaped(run.error.splitlines()[-1][:120])}]")
            else:
                labels = labels_of(run, catalog())
                accuracy = run.results.get(ACCURACY)
                if accuracy:
                    st.caption(f"{labels[ACCURACY]} {with_interval(accuracy)}")


def show_recent(runs: Sequence[Run]) -> None:
    st.header("Recent runs")
    if not runs:
        st.info(
            "No runs yet. Launch the demo above, or your own experiment on the Launch page.",
            icon=":material/lightbulb:",
        )
    for run in runs:
        show_run(run)


def active() -> bool:
    try:
        ready = api().readiness()
    except ApiError:
        return True  # until it is back
    return ready.queued + ready.running > 0 or starting(ready)


def has_runs() -> bool:
    try:
        return bool(api().runs(limit=1).items)
    except ApiError:
        return False


live = active()


@fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_state() -> None:
    ready = api().readiness()
    if live and ready.queued + ready.running == 0 and not starting(ready):
        st.rerun()  # the whole page, without refresh
    show_system_line(ready)
    experiments = api().experiments(limit=EXPERIMENTS).items
    show_running(experiments)
    show_newest_results(experiments)
    show_recent(api().runs(limit=RECENT).items)


used = has_runs()
st.title("DensityLab")
st.markdown(
    "See what image classifiers rely on: train them with marginal-density smoothing or another regularizer, "
    "and compare saliency maps, accuracy and robustness."
)
show_pointer()
load_charts()
if not used:
    show_demo_button()
show_state()
if used:
    show_demo_button()
links = st.columns(4)
with links[0]:
    st.page_link("app_pages/launch.py", label="Launch an experiment", icon=":material/rocket_launch:")
with links[1]:
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
