"""The state of the system in one line, with what is wrong below it."""

import time

import streamlit as st

from densitylab.backend.shared.contracts import QueueName, Readiness, Status
from densitylab.frontend.analysis.formatting import counted, escaped
from densitylab.frontend.ui.api import api

STARTING_SECONDS = 60.0  # within which workers of a system that has just started appear


@st.cache_resource
def first_seen() -> float:
    """Return the time (monotonic, seconds) at which the page was first drawn after its start."""
    return time.monotonic()


def starting(ready: Readiness) -> bool:
    """Return whether workers are missing only because the system has just started."""
    return bool(idle_queues(ready)) and time.monotonic() - first_seen() < STARTING_SECONDS


def idle_queues(ready: Readiness) -> list[str]:
    """Return the names of the queues that no worker serves."""
    return [queue.value for queue in QueueName if not ready.workers.get(queue)]


def show_system_line(ready: Readiness) -> None:
    """Draw the number of runs and of tasks, and a warning for each problem that is not the start itself."""
    queued, training = (
        api().runs(status=status, limit=1, total=True).total or 0 for status in (Status.QUEUED, Status.RUNNING)
    )
    workers = counted(ready.workers.get(QueueName.TRAIN, 0), "training worker")
    tasks = f"tasks, evaluations and maps included: {ready.queued} queued, {ready.running} running"
    st.caption(f"{workers} · runs: {queued} queued, {training} training · {tasks}")
    for part, state in (("The database", ready.database), ("The broker", ready.broker)):
        if state != "ok":
            st.warning(
                f"{part} is not available: {escaped(state)}. New runs wait and start when it is back.",
                icon=":material/warning:",
            )
    if starting(ready):
        st.info("Starting: workers appear within a minute.", icon=":material/hourglass_top:")
    elif ready.broker == "ok" and (idle := idle_queues(ready)):
        st.warning(
            f"No worker serves these queues: {', '.join(idle)}. Start workers with `make up`.",
            icon=":material/warning:",
        )
