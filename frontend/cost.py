"""What a launch would cost, shown before the click."""

import streamlit as st

from backend.shared.contracts import ExperimentRequest, Preflight
from frontend.client import ApiError
from frontend.parts import api
from frontend.words import duration, escaped, size


@st.cache_data(ttl=10, max_entries=50, show_spinner=False)
def _preflight(request_json: str) -> Preflight:
    return api().preflight(ExperimentRequest.model_validate_json(request_json))


def show_cost(request: ExperimentRequest) -> bool:
    """Draws the price of the request; gives whether its data allow the launch."""
    try:
        found = _preflight(request.model_dump_json())
    except ApiError as error:
        # The launch says it beside the fields
        st.caption(f":orange[:material/warning: The price is not known: {escaped(str(error))}]")
        return True
    with st.container(border=True):
        cells = st.columns(4)
        cells[0].metric("Runs", f"{found.runs:,}")
        cells[1].metric("Steps", f"{found.steps:,}", help="Of training, in all runs together")
        time = "not known" if found.seconds is None else f"≈ {duration(found.seconds)}"
        workers = f"{found.workers} training worker{'' if found.workers == 1 else 's'}"
        cells[2].metric("Training", time, help=f"On {workers}. {found.basis_text}")
        memory = "not known" if found.memory_bytes is None else f"≈ {size(found.memory_bytes)}"
        cells[3].metric("Memory of a run", memory, help=found.memory_formula)
        st.caption(f"{workers} · {escaped(found.basis_text)}")
        if not found.workers:
            st.warning("No training worker is there: the runs wait until one is.", icon=":material/warning:")
        for data in found.data:
            if data.status == "absent":
                text, link = st.columns([4, 1], vertical_alignment="center")
                text.error(f"The data set {data.key} is not prepared.", icon=":material/cloud_off:")
                link.page_link("app_pages/datasets.py", label="Prepare it", icon=":material/download:")
    return found.launchable
