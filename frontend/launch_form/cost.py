"""The cost of a launch, shown before the click."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest, LaunchCaution, Preflight, RunSpec
from densitylab.frontend.analysis.formatting import counted, escaped, readable, size
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.durations import duration
from densitylab.frontend.launch_form.draft import start_from
from densitylab.frontend.ui.api import api


@st.cache_data(ttl=10, max_entries=50, show_spinner=False)
def _preflight(request_json: str) -> Preflight:
    return api().preflight(ExperimentRequest.model_validate_json(request_json))


def _show_caution(caution: LaunchCaution, request: ExperimentRequest, number: int) -> None:
    """Draw a warning, with a button that changes the form as the caution suggests; a sweep's value stays."""
    text, action = st.columns([4, 1], vertical_alignment="center")
    text.warning(escaped(caution.text), icon=":material/warning:")
    if caution.remedy is None or not caution.pointer.startswith("/spec"):
        return
    changes = ", ".join(f"{readable(path.split('.')[-1])} {_value(value)}" for path, value in caution.remedy.items())
    if action.button(f"Use {changes}", key=f"remedy-{number}", width="stretch"):
        start_from(with_values(request, caution.remedy))
        st.rerun()


def _value(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, list) else str(value)


def with_values(request: ExperimentRequest, values: Mapping[str, Any]) -> ExperimentRequest:
    """Return the request with these values, by dotted path into its spec."""
    spec = RunSpec.model_validate(request.spec).model_dump(mode="json")
    for path, value in values.items():
        *parents, last = path.split(".")
        node = spec
        for parent in parents:
            node[parent] = node[parent] or {}
            node = node[parent]
        node[last] = value
    return request.model_copy(update={"spec": ExperimentRequest(spec=spec).spec})


def show_cost(request: ExperimentRequest) -> bool:
    """Draw the cost of the request; return whether its data sets are prepared."""
    try:
        cost = _preflight(request.model_dump_json())
    except ApiError as error:
        # The launch shows the error beside its field
        st.caption(f":orange[:material/warning: The cost is unknown: {escaped(str(error))}]")
        return True
    with st.container(border=True):
        cells = st.columns(4)
        most = f" to {cost.max_runs:,}" if cost.max_runs > cost.runs else ""
        cells[0].metric("Runs", f"{cost.runs:,}{most}")
        cells[1].metric("Steps", f"{cost.steps:,}", help="Training steps of all runs together")
        time = "unknown" if cost.seconds is None else f"≈ {duration(cost.seconds * cost.max_runs / cost.runs)}"
        time = f"up to {time}" if most and cost.seconds is not None else time
        workers = counted(cost.workers, "training worker")
        cells[2].metric("Training", time, help=f"On {workers}. {cost.basis_text}")
        memory = "unknown" if cost.memory_bytes is None else f"≈ {size(cost.memory_bytes)}"
        cells[3].metric("Memory per run", memory, help=cost.memory_formula)
        st.caption(f"{workers} · {escaped(cost.basis_text)}")
        for note in cost.notes:
            st.info(escaped(note), icon=":material/info:")
        for number, caution in enumerate(cost.cautions):
            _show_caution(caution, request, number)
        if not cost.workers:
            st.warning("No training worker is running: the runs wait until one starts.", icon=":material/warning:")
        for data in cost.data:
            if data.status == "absent":
                text, link = st.columns([4, 1], vertical_alignment="center")
                text.error(f"The data set {data.key} is not prepared.", icon=":material/cloud_off:")
                link.page_link("app_pages/datasets.py", label="Prepare it", icon=":material/download:")
    return cost.launchable
