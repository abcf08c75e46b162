"""The report of a study as files."""

import streamlit as st

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.frozen.study import freeze_study
from densitylab.frontend.paper.study import collect_study
from densitylab.frontend.report.study_html import study_html
from densitylab.frontend.report.study_markdown import study_markdown
from densitylab.frontend.ui.api import api, catalog
from densitylab.frontend.ui.frozen_download import show_frozen_page
from densitylab.frontend.ui.paper_downloads import show_paper_downloads


def show_downloads(report: StudyReport) -> None:
    """Draw a button for each form of the report; a file is made when its button is pressed."""
    client, known = api(), catalog()
    name = f"study-{report.study.key}-{report.study.id}"
    with st.container(horizontal=True, key="study-files"):
        st.download_button(
            "HTML",
            lambda: study_html(report, known, page=_page_address()),
            f"{name}.html",
            "text/html",
            icon=":material/description:",
            on_click="ignore",
            help="The report as one file that loads nothing",
        )
        st.download_button(
            "Markdown",
            lambda: study_markdown(report, known),
            f"{name}.md",
            "text/markdown",
            icon=":material/notes:",
            on_click="ignore",
            help="The report as text",
        )
        show_frozen_page(name, lambda: freeze_study(client, report.study.id))
    show_paper_downloads(name, lambda: collect_study(client, report))


def _page_address() -> str:
    """Return the address of the page without its last part."""
    return str(st.context.url or "").partition("?")[0].rpartition("/")[0]
