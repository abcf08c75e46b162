"""Progress of a study, the launches that were left out, and its buttons."""

from datetime import UTC, datetime

import streamlit as st

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.contracts.studies import Study
from densitylab.frontend.analysis.formatting import as_sentence, escaped
from densitylab.frontend.client.durations import duration
from densitylab.frontend.client.study_progress import study_state
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.entry_points import dialog
from densitylab.frontend.ui.status import counts_text, flash


def is_active(study: Study) -> bool:
    """Return whether something of the study may still change by itself."""
    return not study.finished and any(item.runs for item in study.launches)


def show_progress(study: Study) -> None:
    """Draw the runs by status, and a bar with the time left while the study is active."""
    counts: dict[Status, int] = {}
    for launch in study.launches:
        for status, number in launch.counts.items():
            counts[status] = counts.get(status, 0) + number
    st.markdown(counts_text(counts) or "nothing launched")
    if is_active(study):
        elapsed = (datetime.now(UTC) - study.created_at).total_seconds()
        state = study_state(study, elapsed, 0)
        left = "" if state.remaining_seconds is None else f", about {duration(state.remaining_seconds)} left"
        st.progress(state.done, text=f"{state.done:.0%}{left}")


def show_launches(study: Study) -> None:
    """Draw a line for each launch with its experiment, and what was left out with what to do."""
    for launch in study.launches:
        name, state = st.columns([4, 5], vertical_alignment="center")
        with name:
            if launch.experiment is None:
                st.markdown(f"{escaped(launch.label)}")
            else:
                st.page_link(
                    "app_pages/experiment.py",
                    label=f"{escaped(launch.label)}: experiment {launch.experiment}",
                    icon=":material/science:",
                    query_params={"experiment": str(launch.experiment)},
                )
        with state:
            if launch.counts:
                st.markdown(counts_text(launch.counts))
            if launch.left_out:
                st.warning(f"Left out: {escaped(as_sentence(launch.left_out))}", icon=":material/cloud_off:")
            if launch.prepare:
                st.page_link("app_pages/datasets.py", label="Prepare the data set", icon=":material/database:")


def show_study_actions(study: Study) -> None:
    """Draw the buttons that continue and delete the study."""
    with st.container(horizontal=True):
        left_out = any(launch.experiment is None for launch in study.launches)
        if left_out and st.button(
            "Continue",
            icon=":material/play_arrow:",
            help="Launches what was left out and is possible now",
            key="continue-study",
        ):
            with show_api_errors():
                continued = api().continue_study(study.id)
                still = sum(launch.experiment is None for launch in continued.launches)
                flash(f"Still left out: {still} of {len(continued.launches)}." if still else "All of it is launched.")
                st.rerun()
        if st.button("Delete", icon=":material/delete:", help="Its experiments stay", key="delete-study"):
            _confirm_delete(study)


@dialog("Delete the study")
def _confirm_delete(study: Study) -> None:
    st.markdown(f"Delete study {study.id}, **{escaped(study.label)}**? Its experiments and runs stay.")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:", key="delete-study-now"):
            with show_api_errors():
                api().delete_study(study.id)
                flash(f"Deleted study {study.id}.")
                st.switch_page("app_pages/studies.py")
        if st.button("Cancel", key="keep-study"):
            st.rerun()
