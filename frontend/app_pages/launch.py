"""Launch an experiment: the form, its summary with the price and the button, and the equivalent request."""

import functools
import json

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_EXPERIMENT, ExperimentRequest
from densitylab.frontend.analysis.formatting import counted, escaped
from densitylab.frontend.launch_form.changes import changes_text, readable_changes
from densitylab.frontend.launch_form.cost import estimate
from densitylab.frontend.launch_form.draft import (
    DIFFERENCES,
    DRAFT,
    IDEMPOTENCY,
    ORIGINAL,
    TYPED,
    form_key,
    is_copy,
    keep_draft,
    new_launch,
    open_link,
    start_from,
)
from densitylab.frontend.launch_form.form import draw_form
from densitylab.frontend.launch_form.layout import draw_layout
from densitylab.frontend.launch_form.preset_choice import draw_presets
from densitylab.frontend.launch_form.summary import draw_summary
from densitylab.frontend.launch_form.sweeps import count_runs
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.folded import folded
from densitylab.frontend.ui.status import flash
from densitylab.frontend.ui.studies.pointer import show_pointer


def show_copy(request: ExperimentRequest | None) -> None:
    """Say what the form is a copy of, and what has been changed in it."""
    original = st.session_state.get(ORIGINAL)
    if original is None or request is None or not is_copy():
        return
    st.markdown(f":material/content_copy: **{escaped(original.name)}**")
    for sentence in st.session_state.get(DIFFERENCES, ()):
        st.caption(f":orange[:material/warning:] {escaped(sentence)}")
    differences = readable_changes(original, request, catalog())
    if differences:
        st.markdown("Changed in this copy:\n" + changes_text(differences))
    else:
        st.caption("A copy; nothing is changed yet.")


def show_request(request: ExperimentRequest) -> None:
    """Show the curl command that launches the same experiment."""
    body = json.dumps(request.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    st.caption("Any HTTP client can launch this. If the API needs a token, add -H 'Authorization: Bearer …'.")
    st.code(
        f"curl -X POST {api().public_url}/api/v1/experiments \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -d '{quoted}'",
        language="bash",
    )


def launch(request: ExperimentRequest, errors: FieldErrors) -> None:
    """Launch and open the run or the comparison. After an error without wrong fields a click repeats the launch, which
    happens once even if the API had accepted it."""
    with show_api_errors(errors):
        experiment = api().launch(request, idempotency_key=st.session_state[IDEMPOTENCY])
        start_from(request)
        flash(f"Launched {counted(len(experiment.runs), 'run')}.")
        if request.search is not None:
            st.switch_page("app_pages/experiment.py", query_params={"experiment": str(experiment.id)})
        if len(experiment.runs) == 1:
            st.switch_page("app_pages/run.py", query_params={"run": str(experiment.runs[0])})
        st.switch_page("app_pages/compare.py", query_params={"experiment": str(experiment.id)})
    if errors.errors:
        new_launch()


title_cell, presets_cell = st.columns([4, 1], vertical_alignment="bottom")
title_cell.title("Launch")
with presets_cell, st.container(horizontal=True, horizontal_alignment="right"):
    draw_presets()
show_pointer()
open_link()
copy_place = st.container()
errors, layout = FieldErrors(), draw_layout()
request = draw_form(
    st.session_state[DRAFT],
    catalog(),
    form_key(),
    errors,
    layout,
    original=st.session_state.get(ORIGINAL),
    typed=st.session_state.get(TYPED, ()),
)
if request is not None and count_runs(request.sweep) > MAX_RUNS_PER_EXPERIMENT:
    errors.refuse(
        "/sweep",
        f"this makes {count_runs(request.sweep)} runs; an experiment can have at most {MAX_RUNS_PER_EXPERIMENT}",
    )
keep_draft(request)
if request is not None:
    with layout.settings:
        folded("As a REST request", functools.partial(show_request, request), key="rest-request")
with copy_place:
    show_copy(request)
with layout.summary:
    cost = estimate(request, errors) if request is not None and not errors.errors else None
    clicked = draw_summary(request, cost, errors, catalog())
    if clicked and request is not None:
        launch(request, errors)
