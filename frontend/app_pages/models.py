"""The models that were trained elsewhere, and the import of further ones."""

import streamlit as st

from densitylab.frontend.import_form.inspection_view import show_inspection
from densitylab.frontend.import_form.model_table import imported_models, show_models
from densitylab.frontend.import_form.outcome import IMPORT, show_outcome
from densitylab.frontend.import_form.request_form import draw_request
from densitylab.frontend.import_form.upload import INSPECTION, draw_upload, inspection
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.widgets import component

FILE, PUBLISHED = "a file", "published weights"

st.title("Models")
st.caption("Models that were trained elsewhere, with every evaluation and map of the runs trained here.")
show_outcome()
show_models(imported_models())
st.header("Import a model")
errors = FieldErrors()
source = st.segmented_control("From", (FILE, PUBLISHED), default=FILE, required=True, key="source", bind="query-params")
data_cell, file_cell = st.columns(2)
with data_cell:
    dataset = component(
        catalog(), "dataset", {}, label="Data set to evaluate it on", key="models/dataset", at="/dataset", errors=errors
    )
found = None
if source == FILE:
    with file_cell:
        draw_upload(dataset)
    found = inspection()
    if found is not None:
        show_inspection(found)
if source == PUBLISHED or found is not None:
    key = f"models/{'published' if found is None else found.id}/{dataset['key']}"
    request = draw_request(found, dataset, catalog(), key, errors)
    if st.button("Import", type="primary", icon=":material/download_done:", disabled=request is None) and request:
        with show_api_errors(errors):
            task = api().request_import(request)
            st.query_params.pop(INSPECTION, None)
            st.query_params[IMPORT] = str(task.id)
            st.rerun()
