"""The model of a run, to take away: the lines that load it, and the folder of its exported files."""

import functools

import streamlit as st

from densitylab.backend.shared.contracts import ExportFormat, Run
from densitylab.frontend.analysis.formatting import as_sentence, escaped
from densitylab.frontend.ui.api import REFRESH_SECONDS, api
from densitylab.frontend.ui.entry_points import fragment, guarded

_LINES = """\
import densitylab, torch

model = densitylab.load_model("{url}/api/v1/runs/{run}")  # or the folder of the export
images = torch.rand(4, {shape})  # in [0, 1]: the model normalises by itself
print(model(images).softmax(dim=1))
"""
_LABELS = {
    ExportFormat.SAFETENSORS: "weights (safetensors)",
    ExportFormat.ONNX: "ONNX",
    ExportFormat.TORCH_EXPORT: "torch.export",
}


def show_take_away(run: Run) -> None:
    """Draw the lines, the button that makes the files, and the download of the folder."""
    config = api().model_config(run.id)
    shape = ", ".join(map(str, [config.channels, *config.image_size]))
    st.code(_LINES.format(url=api().public_url, run=run.id, shape=shape), language="python")
    task_key = f"export-task-{run.id}"

    @guarded
    def request() -> None:
        st.session_state[task_key] = api().request_export(run.id).id

    task_id = st.session_state.get(task_key)
    task = None if task_id is None else api().task(task_id)
    active = task is not None and not task.status.final
    if task is not None and active:
        _show_progress(task.id)
    elif task is not None and task.error is not None:
        st.warning(escaped(as_sentence(task.error)), icon=":material/warning:")
    stored = {file.name for file in api().artifacts(run.id) if file.step == run.checkpoint_step}
    made = [label for name, label in _LABELS.items() if name.file_name in stored]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Export the model",
            on_click=request,
            disabled=active,
            icon=":material/output:",
            help="Writes safetensors, ONNX and torch.export files, and tests each by running it.",
        )
        if config.weights_sha256 is not None:
            st.download_button(
                "Download the folder",
                functools.partial(api().export_zip, run.id),
                f"run-{run.id}.zip",
                "application/zip",
                key="export-zip",
                on_click="ignore",
                icon=":material/download:",
            )
            st.caption(f"{', '.join(made)}; config, model card and spec. The Hugging Face Hub takes it as it is.")


@fragment(run_every=REFRESH_SECONDS)
def _show_progress(task_id: int) -> None:
    task = api().task(task_id)
    if task.status.final:
        st.rerun()  # the whole page, without refresh
    st.progress(task.progress, text=f"export: {task.stage or task.status.value} · {task.progress:.0%}")
