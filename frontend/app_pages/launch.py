"""Launch an experiment: presets, the form, the equivalent request, the cost, and the button."""

import json

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_EXPERIMENT, ExperimentRequest
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.launch_form.cost import show_cost
from densitylab.frontend.launch_form.draft import (
    DRAFT,
    ERRORS,
    IDEMPOTENCY,
    VERSION,
    keep_errors,
    open_link,
    show_changes,
    show_presets,
    start_from,
)
from densitylab.frontend.launch_form.form import draw_form
from densitylab.frontend.launch_form.sweeps import count_runs
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors, named, problem
from densitylab.frontend.ui.status import flash


def show_request(request: ExperimentRequest) -> None:
    """Show the curl command that launches the same experiment."""
    body = json.dumps(request.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    with st.expander("As a REST request"):
        st.caption("Any HTTP client can launch this. If the API needs a token, add -H 'Authorization: Bearer …'.")
        st.code(
            f"curl -X POST {api().public_url}/api/v1/experiments \\\n  -H 'Content-Type: application/json' \\\n"
            f"  -d '{quoted}'",
            language="bash",
        )


def launch(request: ExperimentRequest) -> None:
    """Launch and open the run or the comparison. After an error without wrong fields a click repeats the launch, which
    happens once even if the API had accepted it."""
    fields = FieldErrors()
    with show_api_errors(fields):
        experiment = api().launch(request, idempotency_key=st.session_state[IDEMPOTENCY])
        start_from(request)
        flash(f"Launched {counted(len(experiment.runs), 'run')}.")
        if request.search is not None:
            st.switch_page("app_pages/experiment.py", query_params={"experiment": str(experiment.id)})
        if len(experiment.runs) == 1:
            st.switch_page("app_pages/run.py", query_params={"run": str(experiment.runs[0])})
        st.switch_page("app_pages/compare.py", query_params={"experiment": str(experiment.id)})
    if fields.errors:
        keep_errors(fields.errors)
        st.rerun()


st.title("Launch")
open_link()
errors = FieldErrors(st.session_state[ERRORS])
show_presets()
request = draw_form(st.session_state[DRAFT], catalog(), f"launch-{st.session_state[VERSION]}", errors)
if request is not None:
    show_changes(request)
    show_request(request)
for error in errors.left:
    problem(named(error))
if errors.errors:
    st.caption(":red[Not launched: correct the fields marked in red, then launch again.]")
runs = 0 if request is None else count_runs(request.sweep)
too_many = runs > MAX_RUNS_PER_EXPERIMENT
if too_many:
    problem(f"This makes {runs} runs; an experiment can have at most {MAX_RUNS_PER_EXPERIMENT}.")
launchable = request is not None and not too_many and show_cost(request)
searched = request is not None and request.search is not None
label = "Start the search" if searched else f"Launch {counted(runs, 'run')}" if runs else "Launch"
clicked = st.button(
    label, type="primary", icon=":material/rocket_launch:", disabled=not launchable, key="launch-button"
)
if clicked and request is not None:
    launch(request)
