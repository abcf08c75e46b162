"""Actions on many runs, with a confirmation before runs are deleted or many are cancelled."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import BulkAction, BulkAnswer, BulkRequest
from densitylab.frontend.analysis.formatting import counted, escaped, size
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.entry_points import dialog
from densitylab.frontend.ui.kept_rows import KeptRows
from densitylab.frontend.ui.status import flash

_DONE = {
    BulkAction.CANCEL: "Cancelling",
    BulkAction.RETRY: "Queued again",
    BulkAction.ARCHIVE: "Archived",
    BulkAction.UNARCHIVE: "Unarchived",
    BulkAction.DELETE: "Deleted",
}
_SHOWN = 5  # refused runs in the message
_NAMED = 12  # runs in a question
_UNASKED = 5  # runs that are cancelled at one click


def act(action: BulkAction, runs: Sequence[int], table: KeptRows | None = None) -> None:
    """Run the action, keep a message about its outcome, clear the selection of the table, and rerun the page."""
    with show_api_errors():
        answer = api().act_on_runs(BulkRequest(action=action, runs=list(runs)))
        flash(outcome(answer))
        if table is not None:
            table.clear()
        st.rerun()


def outcome(answer: BulkAnswer) -> str:
    """Return the message: the number of runs, freed bytes, and refused runs with their reasons."""
    total = answer.done + answer.refused
    text = f"{_DONE[answer.action]} {answer.done} of {counted(total, 'run')}."
    if answer.bytes:
        text += f" {size(answer.bytes)} freed."
    refused = [f"Run {item.run}: {escaped(item.detail)}" for item in answer.outcomes if not item.done]
    more = [f"and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
    return "\n\n".join([text, *refused[:_SHOWN], *more])


def _numbers(runs: Sequence[int]) -> str:
    return ", ".join(map(str, runs[:_NAMED])) + (f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else "")


def freed_by_deleting(runs: Sequence[int]) -> int:
    """Return the bytes that deleting the runs would free."""
    if not runs:
        return 0
    return api().act_on_runs(BulkRequest(action=BulkAction.DELETE, runs=list(runs), dry_run=True)).bytes


def cancel(runs: Sequence[int], table: KeptRows | None = None) -> None:
    """Cancel runs; of many, ask first."""
    if len(runs) > _UNASKED:
        confirm_cancel(runs, table)
    else:
        act(BulkAction.CANCEL, runs, table)


@dialog("Cancel runs")
def confirm_cancel(runs: Sequence[int], table: KeptRows | None) -> None:
    """Cancel the runs on confirmation."""
    st.markdown(
        f"Cancel {counted(len(runs), 'run')} ({_numbers(runs)})? "
        "What they have trained is kept, and they can be queued again."
    )
    with st.container(horizontal=True):
        if st.button(
            f"Cancel {counted(len(runs), 'run')}", type="primary", icon=":material/stop:", key="confirm-cancel"
        ):
            act(BulkAction.CANCEL, runs, table)
        if st.button("Keep them", key="keep-running"):
            st.rerun()


@dialog("Delete runs")
def confirm_delete(runs: Sequence[int], table: KeptRows) -> None:
    """Show what is lost and the bytes to be freed, and delete on confirmation."""
    st.markdown(
        f"Delete {counted(len(runs), 'run')} ({_numbers(runs)}) with their curves, results and "
        f"files? This frees **{size(freed_by_deleting(runs))}** and cannot be undone."
    )
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:"):
            act(BulkAction.DELETE, runs, table)
        if st.button("Cancel", key="keep-runs"):
            st.rerun()
