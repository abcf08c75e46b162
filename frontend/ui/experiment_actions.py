"""The buttons of an experiment: compare, copy, add runs, edit, archive, delete; and cancel and retry for its runs."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import (
    BulkAction,
    Experiment,
    ExperimentPatch,
    Origin,
    Run,
)
from densitylab.backend.shared.statistics.groups import Group
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.formatting import counted, escaped, size
from densitylab.frontend.ui.add_runs import show_adding, show_adding_to_groups
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.bulk_actions import act, cancel, freed_by_deleting
from densitylab.frontend.ui.comparison.maps_button import maps_button
from densitylab.frontend.ui.entry_points import dialog
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.kept_rows import KeptRows
from densitylab.frontend.ui.label_editor import edit_notes_and_tags
from densitylab.frontend.ui.status import flash


def show_experiment_actions(experiment: Experiment, runs: Sequence[Run], comparison: Comparison) -> None:
    """Draw the buttons in a row."""
    query = {"experiment": str(experiment.id)}
    active = any(not run.status.final for run in runs)
    with st.container(horizontal=True, key="actions-experiment"):
        if st.button("Compare", icon=":material/scatter_plot:"):
            st.switch_page("app_pages/compare.py", query_params=query)
        maps_button(comparison)
        here = any(run.origin is Origin.TRAINED for run in runs)
        if st.button(
            "Copy into Launch",
            icon=":material/content_copy:",
            disabled=not here,
            help="All regularizers, λ and seeds of this experiment, to edit and launch again",
        ):
            st.switch_page("app_pages/launch.py", query_params={"from": str(experiment.id)})
        show_adding(experiment, comparison)
        _show_editor(experiment)
        if st.button("Unarchive" if experiment.archived else "Archive", icon=":material/archive:"):
            with show_api_errors():
                api().change_experiment(experiment.id, ExperimentPatch(archived=not experiment.archived))
                st.rerun()
        if st.button(
            "Delete", icon=":material/delete:", disabled=active, help="Cancel all runs before you delete them"
        ):
            _confirm_delete(experiment, runs)


def show_cancel_and_retry(runs: Sequence[Run]) -> None:
    """Draw the buttons that act on the unfinished runs, and on the failed and cancelled ones, where there are any."""
    active, ended = _active(runs), _ended(runs)
    if not active and not ended:
        return
    with st.container(horizontal=True):
        if active and st.button(f"Cancel {len(active)}", icon=":material/stop:", key="cancel-runs"):
            cancel(active)
        if ended and st.button(f"Retry {len(ended)}", icon=":material/replay:", key="retry-runs"):
            act(BulkAction.RETRY, ended)


def show_group_actions(experiment: Experiment, groups: Sequence[Group], table: KeptRows) -> None:
    """Draw the buttons that act on the selected groups of the table alone."""
    runs = [run for group in groups for run in group.runs]
    active, ended = _active(runs), _ended(runs)
    with st.container(horizontal=True):
        if st.button(
            f"Cancel {counted(len(active), 'run')}", icon=":material/stop:", key="cancel-groups", disabled=not active
        ):
            cancel(active, table)
        if st.button(f"Retry {len(ended)}", icon=":material/replay:", key="retry-groups", disabled=not ended):
            act(BulkAction.RETRY, ended, table)
        show_adding_to_groups(experiment, runs, len(groups), table)


def _active(runs: Sequence[Run]) -> list[int]:
    return [run.id for run in runs if not run.status.final]


def _ended(runs: Sequence[Run]) -> list[int]:
    return [run.id for run in runs if run.status.unsuccessful]


def _show_editor(experiment: Experiment) -> None:
    with st.popover("Notes and tags", icon=":material/edit:"), st.form("editor", border=False):
        fields = FieldErrors()
        name = st.text_input(
            "Name",
            experiment.name,
            max_chars=200,
            key=f"name-{experiment.id}-{hash(experiment.name)}",
            persist_state="page",
        )
        fields.show("/name")
        notes, tags = edit_notes_and_tags(experiment, fields)
        if st.form_submit_button("Save", icon=":material/save:"):
            with show_api_errors(fields):
                api().change_experiment(experiment.id, ExperimentPatch(name=name, notes=notes, tags=tags))
                st.rerun()


@dialog("Delete the experiment")
def _confirm_delete(experiment: Experiment, runs: Sequence[Run]) -> None:
    freed = freed_by_deleting([run.id for run in runs])
    st.markdown(
        f"Delete **{escaped(experiment.name)}** and its {counted(len(runs), 'run')} with their curves, results and "
        f"files? This frees **{size(freed)}** and cannot be undone."
    )
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:"):
            with show_api_errors():
                freed = api().delete_experiment(experiment.id).bytes
                flash(f"Deleted experiment {experiment.id}; {size(freed)} freed.")
                st.switch_page("app_pages/experiments.py")
        if st.button("Cancel", key="keep-experiment"):
            st.rerun()
