"""Requests of maps: cached and quick ones at once, slow ones after a click."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import Attribution, AttributionRequest, Density, Status
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import api, caller, show_api_errors
from densitylab.frontend.ui.entry_points import fragment, guarded
from densitylab.frontend.ui.field_errors import FieldErrors

POLL_SECONDS = 0.25
QUICK_SECONDS = 5.0  # slower maps need a click
_AGREED = "lab_agreed"


def request_maps(fields: FieldErrors, **parts: Any) -> Attribution | None:
    """Return the maps; None while they are computed, need a click or are refused, which the page shows.

    Args:
        fields: of the inputs.
        parts: of the AttributionRequest.
    """
    with show_api_errors(fields):
        request = AttributionRequest(**parts)
        request_json = request.model_dump_json()
        cost = api().attribution_cost(request)
        slow = not cost.kept and (cost.seconds is None or cost.seconds > QUICK_SECONDS)
        if slow and st.session_state.get(_AGREED) != request_json:
            estimate = "unknown time" if cost.seconds is None else f"about {duration(cost.seconds)}"
            basis = {
                "measured": "measured on these models",
                "calibrated": "estimated from the model size",
                "unknown": "no measurements of these models yet",
            }[cost.basis]
            st.info(
                f"These maps need {cost.passes:,} forward and backward passes: {estimate} ({basis}).",
                icon=":material/timer:",
            )
            st.button("Compute", type="primary", on_click=_agree, args=(request_json,))
            return None
        answer = api().attribute(request)
        if answer.status is Status.SUCCEEDED:
            return answer
        wait_for(api().attribution, answer.id, "maps")
    return None


def map_file(attribution: int) -> bytes:
    """Return the NPZ file of the maps."""
    return _map_file(caller(), attribution)


@st.cache_data(show_spinner=False, max_entries=40)
def _map_file(caller: str, attribution: int) -> bytes:
    return api().attribution_file(attribution)


def _agree(request_json: str) -> None:
    st.session_state[_AGREED] = request_json


@fragment(run_every=POLL_SECONDS)
def wait_for(read: Callable[[int], Attribution | Density], id_: int, noun: str) -> None:
    """Show the progress until the answer is complete, then rerun the page.

    Args:
        read: returns the current answer.
        id_: of the answer.
        noun: plural noun of the content, for the messages.
    """
    answer = read(id_)
    if answer.status is Status.SUCCEEDED:
        st.rerun()
    if answer.status.final:
        st.error(
            f"The {noun} {answer.status.value}: {escaped(answer.error or 'no reason given')}",
            icon=":material/error:",
        )
        return
    task = api().task(answer.task)
    st.progress(task.progress, text=f"Computing the {noun}: {task.stage or 'waiting for the interactive worker'}")
    st.button("Cancel", key="lab_cancel", on_click=_cancel, args=(answer.task,))


@guarded
def _cancel(task: int) -> None:
    api().cancel_task(task)
