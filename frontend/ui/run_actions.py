"""The buttons of a run: cancel, retry, clone, start from it, saliency maps, notes and tags, archive, delete."""

import streamlit as st

from densitylab.backend.shared.contracts import Origin, Run, RunPatch
from densitylab.frontend.analysis.formatting import joined, size
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.bulk_actions import freed_by_deleting
from densitylab.frontend.ui.entry_points import dialog
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.label_editor import edit_name, edit_notes_and_tags
from densitylab.frontend.ui.query_params import query_ints
from densitylab.frontend.ui.status import flash


def show_run_actions(run: Run) -> None:
    """Draw the buttons in a row."""
    with st.container(horizontal=True, key="actions-run"):
        if not run.status.final and st.button("Cancel", icon=":material/stop:"):
            with show_api_errors():
                api().cancel_run(run.id)
                flash("Cancelling: the run stops within seconds and keeps its last checkpoint.")
                st.rerun()
        trained = run.origin is Origin.TRAINED
        if trained and run.status.unsuccessful and st.button("Retry", icon=":material/replay:"):
            with show_api_errors():
                api().retry_run(run.id)
                flash("Queued again; the run continues from its last checkpoint, if it has one.")
                st.rerun()
        if trained and st.button(
            "Clone and edit",
            icon=":material/content_copy:",
            help="This run alone; the page of its experiment copies all runs",
        ):
            st.switch_page("app_pages/launch.py", query_params={"clone": str(run.id)})
        startable = run.status.final and run.checkpoint_step is not None
        if startable and trained and st.button("Continue", icon=":material/resume:"):
            st.switch_page("app_pages/launch.py", query_params={"continue": str(run.id)})
        if startable and st.button("Start from these weights", icon=":material/fork_right:"):
            st.switch_page("app_pages/launch.py", query_params={"weights": str(run.id)})
        # The link from a comparison names runs to show beside this one
        others = [run_id for run_id in query_ints("with") if run_id != run.id]
        label = f"Saliency maps, beside {len(others)} more" if others else "Saliency maps"
        if st.button(label, icon=":material/blur_on:", disabled=run.checkpoint_step is None):
            st.switch_page("app_pages/saliency.py", query_params={"runs": joined([run.id, *others])})
        if st.button("Compare its experiment", icon=":material/scatter_plot:"):
            st.switch_page("app_pages/compare.py", query_params={"experiment": str(run.experiment)})
        if st.button("Experiment", icon=":material/science:"):
            st.switch_page("app_pages/experiment.py", query_params={"experiment": str(run.experiment)})
        _show_editor(run)
        if st.button("Unarchive" if run.archived else "Archive", icon=":material/archive:"):
            with show_api_errors():
                api().change_run(run.id, RunPatch(archived=not run.archived))
                st.rerun()
        if st.button(
            "Delete",
            icon=":material/delete:",
            disabled=not run.status.final,
            help="Cancel the run before you delete it",
        ):
            _confirm_delete(run)


def _show_editor(run: Run) -> None:
    with st.popover("Name, notes and tags", icon=":material/edit:"), st.form("editor", border=False):
        fields = FieldErrors()
        name = edit_name(run, fields)
        notes, tags = edit_notes_and_tags(run, fields)
        if st.form_submit_button("Save", icon=":material/save:"):
            with show_api_errors(fields):
                api().change_run(run.id, RunPatch(name=name, notes=notes, tags=tags))
                st.rerun()


@dialog("Delete the run")
def _confirm_delete(run: Run) -> None:
    st.markdown(
        f"Delete run {run.id} with its curves, results and files? This frees "
        f"**{size(freed_by_deleting([run.id]))}** and cannot be undone."
    )
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:"):
            with show_api_errors():
                freed = api().delete_run(run.id).bytes
                flash(f"Deleted run {run.id}; {size(freed)} freed.")
                st.switch_page("app_pages/runs.py")
        if st.button("Cancel", key="keep-run"):
            st.rerun()
