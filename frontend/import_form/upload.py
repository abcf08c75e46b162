"""The file of a model: its upload, and the progress of its inspection."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import Component, Inspection, InspectRequest, Status
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.launch_form.register_form import UPLOAD_MIB
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.query_params import query_int

INSPECTION = "inspection"  # of the link: the task of an inspection
ENDINGS = ("safetensors", "pt", "pth", "th", "ckpt", "bin")


def draw_upload(dataset: Mapping[str, Any]) -> None:
    """Draw the choice of a file, and the button that uploads it and has it inspected."""
    fields = FieldErrors()
    file = st.file_uploader(
        f"Model file, at most {UPLOAD_MIB:,} MiB",
        key="model-file",
        max_upload_size=UPLOAD_MIB,
        help=f"Weights as safetensors or a PyTorch checkpoint ({', '.join(f'.{ending}' for ending in ENDINGS)}). "
        "It is read without running code; files that would run code are refused.",
    )
    fields.show("/file")
    if st.button("Inspect the file", icon=":material/search:", type="primary", disabled=file is None) and file:
        with show_api_errors(fields), st.spinner("Uploading the file …"):
            task = api().inspect_file(file, file.name, InspectRequest(dataset=Component(**dataset)))
            st.query_params[INSPECTION] = str(task.id)
            st.rerun()
    if file is None:
        st.caption("A line of your training script writes such a file:")
        st.code('torch.save(model.state_dict(), "model.pt")', language=None)  # colours of Python are too pale
        st.caption(
            "The networks here whose weights fit are offered next. A network of your own comes as a plug-in: "
            "docs/import.md has one in full."
        )


def inspection() -> Inspection | None:
    """Return what the inspection of the link found; draw its progress or its error where it has not succeeded."""
    task_id = query_int(INSPECTION)
    if task_id is None:
        return None
    task = api().task(task_id)
    if task.status is Status.SUCCEEDED:
        return api().inspection(task_id)
    if not task.status.final:
        _show_progress(task_id)
        return None
    st.error(escaped(task.error or "The inspection was cancelled; nothing was stored."), icon=":material/error:")
    return None


@fragment(run_every=REFRESH_SECONDS)
def _show_progress(task_id: int) -> None:
    task = api().task(task_id)
    if task.status.final:
        st.rerun()
    st.progress(task.progress, text=f"Inspecting: {task.stage or 'waiting for a worker'}")
    if st.button("Cancel", key="cancel-inspection", icon=":material/stop:"):
        with show_api_errors():
            api().cancel_task(task_id)
