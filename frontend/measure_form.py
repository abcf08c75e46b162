"""The form that asks for one more measure of a trained run."""

import streamlit as st

from backend.shared.contracts import CatalogEntry, EvaluationSpec, FieldError, Run
from frontend.client import ApiError
from frontend.parts import api, catalog, flash
from frontend.widgets import FieldErrors, component, problem

ERRORS = "measure_errors"


def measurable(entry: CatalogEntry, dataset: CatalogEntry | None) -> bool:
    """Whether the data set has what the measure needs; a data set that is no longer on offer may have it."""
    return dataset is None or (
        (dataset.has_mask or not entry.needs_mask) and (dataset.has_groups or not entry.needs_groups)
    )


@st.fragment
def measure_form(run: Run) -> None:
    """Every measure that the run's data can give, with its settings; what the API refuses stands beside its field."""
    with st.expander("Measure more", icon=":material/add_chart:", expanded=bool(st.session_state.get(ERRORS))):
        if run.checkpoint_step is None:
            st.caption("Measures can be taken once the run has a checkpoint.")
            return
        errors = FieldErrors(st.session_state.get(ERRORS, ()))
        dataset = catalog().entry("dataset", run.spec.dataset.key)
        asked = component(catalog(), "evaluation", {}, label="Measure", key="measure", at="", errors=errors,
                          usable=lambda entry: measurable(entry, dataset))
        name = st.text_input("Name", key="measure/name", placeholder="the measure's own, numbered where it is taken",
                             help="Small letters, digits and underscores: what its results are called.")
        errors.show("/name")
        if st.button("Measure", type="primary", icon=":material/straighten:", key="measure/ask"):
            try:
                answer = api().evaluate(run.id, EvaluationSpec.model_construct(name=name or None, **asked))
            except ApiError as error:
                st.session_state[ERRORS] = error.errors or [FieldError(pointer="", detail=str(error))]
            else:
                st.session_state[ERRORS] = []
                flash(f"{answer.name} has been measured already." if answer.status.final
                      else f"{answer.name} is to be measured.")
            st.rerun()
        for error in errors.left:
            problem(error.detail)
