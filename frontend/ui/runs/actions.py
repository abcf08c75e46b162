"""Actions on selected runs; each button says to how many runs it applies."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION, BulkAction, Origin, Run, RunPatch
from densitylab.frontend.analysis.formatting import joined
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.bulk_actions import act, cancel, confirm_delete
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.kept_rows import KeptRows
from densitylab.frontend.ui.label_editor import edit_name

_TAGGED = "runs_tagged"


def show_actions(chosen: Sequence[Run], table: KeptRows, *, archived: bool) -> None:
    """Draw the buttons for the selected runs, disabled while there are none, so that the table below stays in place.

    Args:
        chosen: the selected runs as they are now.
        table: where they are selected; an action clears the selection.
        archived: whether the page shows archived runs.
    """
    ids = [run.id for run in chosen]
    active = [run for run in chosen if not run.status.final]
    ended = [run for run in chosen if run.status.unsuccessful]
    final = [run for run in chosen if run.status.final]
    stored = [run for run in chosen if run.checkpoint_step is not None]
    with st.container(horizontal=True, key="actions-runs"):
        if st.button("Open", icon=":material/show_chart:", disabled=len(chosen) != 1):
            st.switch_page("app_pages/run.py", query_params={"run": str(ids[0])})
        if st.button(f"Compare {len(ids)}", icon=":material/scatter_plot:", disabled=not chosen):
            st.switch_page("app_pages/compare.py", query_params={"runs": joined(ids)})
        if st.button(
            f"Maps of {len(stored)}",
            icon=":material/blur_on:",
            disabled=not 1 <= len(stored) <= MAX_RUNS_PER_ATTRIBUTION,
            help=f"Saliency maps of up to {MAX_RUNS_PER_ATTRIBUTION} trained runs",
        ):
            st.switch_page("app_pages/saliency.py", query_params={"runs": joined([run.id for run in stored])})
        clonable = len(chosen) == 1 and chosen[0].origin is Origin.TRAINED
        if st.button("Clone", icon=":material/content_copy:", disabled=not clonable, help="One run trained here"):
            st.switch_page("app_pages/launch.py", query_params={"clone": str(ids[0])})
        if st.button(f"Cancel {len(active)}", icon=":material/stop:", disabled=not active):
            cancel([run.id for run in active], table)
        if st.button(f"Retry {len(ended)}", icon=":material/replay:", disabled=not ended):
            act(BulkAction.RETRY, [run.id for run in ended], table)
        _show_renaming(chosen, table)
        _show_tagging(chosen, table)
        move = BulkAction.UNARCHIVE if archived else BulkAction.ARCHIVE
        label = f"{'Unarchive' if archived else 'Archive'} {len(ids)}"
        if st.button(label, icon=":material/archive:", disabled=not chosen):
            act(move, ids, table)
        if st.button(
            f"Delete {len(final)}",
            icon=":material/delete:",
            disabled=not final,
            help="Cancel running runs before you delete them",
        ):
            confirm_delete([run.id for run in final], table)


def _show_renaming(chosen: Sequence[Run], table: KeptRows) -> None:
    popover = st.popover("Name", icon=":material/edit:", disabled=len(chosen) != 1)
    if len(chosen) != 1:
        return
    fields = FieldErrors()
    with popover, st.form("name", border=False):
        name = edit_name(chosen[0], fields)
        if st.form_submit_button("Save", icon=":material/save:"):
            with show_api_errors(fields):
                api().change_run(chosen[0].id, RunPatch(name=name))
                table.clear()
                st.rerun()


def _show_tagging(chosen: Sequence[Run], table: KeptRows) -> None:
    popover = st.popover(f"Tag {len(chosen)}", icon=":material/label:", disabled=not chosen)
    if not chosen:
        return
    fields = FieldErrors()
    tagged = st.session_state.get(_TAGGED, 0)  # times: each empties the field
    with popover, st.form("tag", border=False):
        tag = st.text_input(
            "Tag", max_chars=50, placeholder="letters, digits, - _ . :", key=f"tag-{tagged}", persist_state="page"
        )
        fields.show("/tags")
        add, remove = st.form_submit_button("Add tag"), st.form_submit_button("Remove tag")
        if tag and (add or remove):
            with show_api_errors(fields):
                for run in chosen:
                    rest = [item for item in run.tags if item != tag]
                    api().change_run(run.id, RunPatch(tags=[*rest, tag] if add else rest))
                st.session_state[_TAGGED] = tagged + 1
                table.clear()
                st.rerun()
