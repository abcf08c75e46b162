"""Status badges, counts of runs by status, and messages that survive the jump to another page."""

from collections.abc import Mapping
from typing import Literal

import streamlit as st

from densitylab.backend.shared.contracts import Experiment, Status
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.analysis.time_left import time_left
from densitylab.frontend.client.evaluation_progress import evaluations_done

# Each status has an icon and a colour; the word always goes with them
_ICONS: dict[Status, tuple[str, Literal["gray", "blue", "green", "red", "orange"]]] = {
    Status.QUEUED: (":material/schedule:", "gray"),
    Status.RUNNING: (":material/play_arrow:", "blue"),
    Status.SUCCEEDED: (":material/check:", "green"),
    Status.FAILED: (":material/error:", "red"),
    Status.CANCELLED: (":material/block:", "orange"),
}


def status_badge(status: Status) -> None:
    """Draw the status as a badge."""
    icon, color = _ICONS[status]
    st.badge(status.value, icon=icon, color=color)


def counts_text(counts: Mapping[Status, int]) -> str:
    """Return Markdown badges with the number of runs of each status that occurs."""
    return " ".join(
        f":{color}-badge[{icon} {counts[status]} {status.value}]"
        for status, (icon, color) in _ICONS.items()
        if counts.get(status)
    )


def progress_text(experiment: Experiment) -> str:
    """Return what an unfinished experiment has done, and the time that it still takes."""
    done, total = evaluations_done(experiment.evaluation_counts)
    evaluated = f", {done} of {total} evaluations done" if total else ""
    return f"{experiment.progress:.0%} trained{evaluated}, {time_left([experiment])}"


def flash(text: str) -> None:
    """Keep a message for the next page that is drawn."""
    st.session_state["flash"] = text


def show_flash() -> None:
    """Show the kept message once."""
    text = st.session_state.pop("flash", None)
    if text:
        st.toast(escaped(text))
