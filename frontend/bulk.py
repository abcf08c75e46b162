"""One action on many runs: asked for, confirmed where it destroys, and its outcome said."""

from collections.abc import Sequence

import streamlit as st

from backend.shared.contracts import BulkAction, BulkAnswer, BulkRequest
from frontend.parts import api, flash, problems_shown
from frontend.words import escaped, size

_DONE = {
    BulkAction.CANCEL: "Cancelling", BulkAction.RETRY: "Queued again", BulkAction.ARCHIVE: "Archived",
    BulkAction.UNARCHIVE: "Taken out of the archive", BulkAction.DELETE: "Deleted",
}
_SHOWN = 5  # refusals


def act(action: BulkAction, runs: Sequence[int]) -> None:
    """Does it, says to how many runs and why not to others, and draws the page anew."""
    with problems_shown():
        answer = api().act_on_runs(BulkRequest(action=action, runs=list(runs)))
        flash(outcome(answer))
        st.rerun()


def outcome(answer: BulkAnswer) -> str:
    total = answer.done + answer.refused
    text = f"{_DONE[answer.action]} {answer.done} of {total} run{'s' if total > 1 else ''}."
    if answer.bytes:
        text += f" {size(answer.bytes)} freed."
    refused = [f"Run {item.run}: {escaped(item.detail)}" for item in answer.outcomes if not item.done]
    more = [f"and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
    return "\n\n".join([text, *refused[:_SHOWN], *more])


def freed_by_deleting(runs: Sequence[int]) -> int:
    """Bytes."""
    if not runs:
        return 0
    return api().act_on_runs(BulkRequest(action=BulkAction.DELETE, runs=list(runs), dry_run=True)).bytes


@st.dialog("Delete runs")
def confirm_delete(runs: Sequence[int]) -> None:
    """Says what would be lost and the bytes to be freed, and deletes after one more click."""
    with problems_shown():
        names = ", ".join(str(run) for run in runs[:12]) + (" and more" if len(runs) > 12 else "")
        st.markdown(f"Delete {len(runs)} run{'s' if len(runs) > 1 else ''} ({names}) with their curves, results and "
                    f"files? This frees **{size(freed_by_deleting(runs))}** and cannot be undone.")
        with st.container(horizontal=True):
            if st.button("Delete", type="primary", icon=":material/delete:"):
                # The table's rows are other runs from now on
                st.session_state["runs_version"] = st.session_state.get("runs_version", 0) + 1
                act(BulkAction.DELETE, runs)
            if st.button("Keep them"):
                st.rerun()
