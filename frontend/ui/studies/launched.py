"""The studies that were launched, newest first, with their progress."""

import streamlit as st

from densitylab.backend.shared.contracts.studies import Study
from densitylab.frontend.analysis.formatting import by_owner, counted, escaped
from densitylab.frontend.analysis.study_text import SIZE_LABELS
from densitylab.frontend.ui.api import REFRESH_SECONDS, api
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.studies.state import is_active, show_progress

SHOWN = 20


def show_launched() -> None:
    """Draw a card for each of the newest studies, live while one is active."""
    first = api().studies(limit=SHOWN)
    live = any(map(is_active, first.items))

    @fragment(run_every=2 * REFRESH_SECONDS if live else None)
    def show_live() -> None:
        studies = api().studies(limit=SHOWN)
        if live and not any(map(is_active, studies.items)):
            st.rerun()
        if not studies.items:
            st.info("No study has been launched. Choose one below.", icon=":material/lightbulb:")
        for study in studies.items:
            _show_study(study)
        if studies.next_cursor is not None:
            st.caption(f"The newest {SHOWN} studies.")

    show_live()


def _show_study(study: Study) -> None:
    with st.container(border=True):
        name, state = st.columns([4, 5], vertical_alignment="center")
        with name:
            st.page_link(
                "app_pages/studies.py", label=f"**{escaped(study.label)}**", query_params={"study": str(study.id)}
            )
            runs = counted(sum(item.runs for item in study.launches), "run")
            created = f"{study.created_at:%Y-%m-%d %H:%M} UTC{by_owner(study.owner)}"
            st.caption(f"study {study.id} · size {SIZE_LABELS[study.size]} · {runs} · {created}")
        with state:
            show_progress(study)
