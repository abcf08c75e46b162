"""From a request to its maps: at once where they are kept or quick, by a click where they take long."""

from collections.abc import Callable

import streamlit as st

from backend.shared.contracts import Attribution, AttributionRequest, Density, Status
from frontend.client import ApiError
from frontend.parts import api, problems_shown, show_problem
from frontend.words import duration, escaped

POLL_SECONDS = 0.25
QUICK_SECONDS = 5.0  # maps that take longer are drawn when somebody says so
_AGREED = "lab_agreed"


def drawn(request: AttributionRequest) -> Attribution | None:
    """The maps; None where they are not there yet, which is said, or watched."""
    asked = request.model_dump_json()
    try:
        cost = api().attribution_cost(request)
        slow = not cost.kept and (cost.seconds is None or cost.seconds > QUICK_SECONDS)
        if slow and st.session_state.get(_AGREED) != asked:
            took = "a time not known yet" if cost.seconds is None else f"about {duration(cost.seconds)}"
            basis = {"measured": "as measured on these models", "calibrated": "reckoned by the size of the model",
                     "unknown": "nothing was measured of these models"}[cost.basis]
            st.info(f"These maps need {cost.passes:,} passes through the networks: {took}, {basis}.",
                    icon=":material/timer:")
            st.button("Draw them", type="primary", on_click=_agree, args=(asked,))
            return None
        answer = api().attribute(request)
    except ApiError as error:
        show_problem(error)
        return None
    if answer.status is not Status.SUCCEEDED:
        wait_for(api().attribution, answer.id, "maps")
        return None
    return answer


@st.cache_data(show_spinner=False, max_entries=40)
def arrays(attribution: int) -> bytes:
    """The maps' file."""
    return api().attribution_file(attribution)


def _agree(asked: str) -> None:
    st.session_state[_AGREED] = asked


@st.fragment(run_every=POLL_SECONDS)
def wait_for(read: Callable[[int], Attribution | Density], asked: int, what: str) -> None:
    """Until they are there; then the page is drawn with them.

    Args:
        read: gives them as they are now.
        asked: their id.
        what: they are, in the plural.
    """
    with problems_shown(retrying=True):
        answer = read(asked)
        if answer.status is Status.SUCCEEDED:
            st.rerun()
        if answer.status.final:
            st.error(f"The {what} {answer.status.value}: {escaped(answer.error or 'no reason given')}",
                     icon=":material/error:")
            return
        task = api().task(answer.task)
        st.progress(task.progress, text=f"Drawing the {what}: {task.stage or 'waiting for the interactive worker'}")
        st.button("Cancel", key="lab_cancel", on_click=_cancel, args=(answer.task,))


def _cancel(task: int) -> None:
    with problems_shown():
        api().cancel_task(task)
