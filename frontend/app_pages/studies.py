"""Studies: those on offer with their price, those launched, and one with its claims, tables and figures."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts.studies import Study, StudyReport
from densitylab.frontend.analysis.formatting import by_owner, escaped
from densitylab.frontend.analysis.study_text import SIZE_LABELS, replaced_text, settings_table
from densitylab.frontend.client import ApiError
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, caller
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.live_chart import load_charts
from densitylab.frontend.ui.query_params import keep_address, query_int
from densitylab.frontend.ui.studies.claims import show_claims
from densitylab.frontend.ui.studies.downloads import show_downloads
from densitylab.frontend.ui.studies.figures import show_figures
from densitylab.frontend.ui.studies.launched import show_launched
from densitylab.frontend.ui.studies.offers import show_offers
from densitylab.frontend.ui.studies.result_tables import show_result_tables
from densitylab.frontend.ui.studies.state import is_active, show_launches, show_progress, show_study_actions


@st.cache_data(ttl=60, max_entries=20, show_spinner=False)
def fetch_report(caller: str, study_id: int, state: str) -> StudyReport:
    """Return the report, kept until the study's state changes: its tests take a second."""
    return api().study_report(study_id)


def show_report(study: Study) -> None:
    report = fetch_report(caller(), study.id, study.model_dump_json(exclude={"progress", "eta_seconds"}))
    st.header("Settings")
    settings = settings_table(report.settings)
    st.table(pd.DataFrame(settings.rows, columns=settings.columns).set_index("setting"))
    st.header("Progress")
    show_progress(study)
    show_launches(study)
    show_downloads(report)
    show_claims(report)
    show_result_tables(report)
    show_figures(report)
    if report.devices:
        st.caption(f"Trained on {escaped(', '.join(report.devices))}.")
    if report.notes:
        st.header("Notes")
        st.markdown("\n".join(f"- {escaped(note)}" for note in report.notes))


def show_study(study_id: int) -> None:
    try:
        first = api().study(study_id)
    except ApiError as error:
        st.title(f"Study {study_id}")
        if error.status != 404:
            raise
        st.error(f"There is no study {study_id}; it may have been deleted.", icon=":material/link_off:")
        st.page_link("app_pages/studies.py", label="All studies", icon=":material/quiz:")
        return
    st.title(escaped(first.label))
    replaced = f" · {escaped(replaced_text(first))}" if first.datasets else ""
    st.caption(
        f"study {first.id} · size {SIZE_LABELS[first.size]} · version {first.version} · "
        f"{first.created_at:%Y-%m-%d %H:%M} UTC{by_owner(first.owner)}{replaced}"
    )
    st.markdown(f"**{escaped(first.question)}**")
    load_charts()
    show_study_actions(first)
    just_fetched = [first]
    live = is_active(first)

    @fragment(run_every=2 * REFRESH_SECONDS if live else None)
    def show_live() -> None:
        study = just_fetched.pop() if just_fetched else api().study(study_id)
        if live and not is_active(study):
            st.rerun()
        show_report(study)

    show_live()


def show_all() -> None:
    st.title("Studies")
    st.caption("Experiments that answer a question together: launched at once, with their tables, figures and claims.")
    show_launched()
    st.header("On offer")
    show_offers()


keep_address()
chosen = query_int("study")
if chosen is None:
    show_all()
else:
    show_study(chosen)
