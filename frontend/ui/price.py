"""The price of trainings in words: workers and what is queued before them."""

import streamlit as st

from densitylab.backend.shared.contracts import Preflight, QueueName
from densitylab.frontend.analysis.formatting import counted, size
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import api, caller

EVALUATION_BASIS = {
    "measured": "From finished evaluations of the same parameters, data and model.",
    "calibrated": "Estimated from the network's size on an idle machine, right within a factor of about two.",
    "mixed": "Partly from finished evaluations, partly estimated within a factor of about two on an idle machine.",
    "unknown": "There is no estimate for one of them: it is known once one with the same parameters, data and model "
    "has ended.",
}


def time_text(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"≈ {duration(seconds)}"


def memory_text(cost: Preflight) -> str:
    return "unknown" if cost.memory_bytes is None else f"≈ {size(cost.memory_bytes)}"


@st.cache_data(ttl=10, show_spinner=False)
def _trainings_waiting(caller: str) -> int | None:
    return api().system().queues.get(QueueName.TRAIN)


def queue_text(cost: Preflight) -> str:
    """Return on how many workers the runs are trained, and what is queued before them, where that is known."""
    workers = counted(cost.workers, "training worker")
    try:
        ahead = _trainings_waiting(caller())
    except ApiError:
        ahead = None
    if ahead is None:
        return workers
    return f"{workers} · " + (f"after {ahead:,} queued" if ahead else "nothing queued before")
