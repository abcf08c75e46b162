"""The buttons that make a frozen page and offer it as a file."""

from collections.abc import Callable

import streamlit as st

from densitylab.frontend.frozen.folder import Files, archive
from densitylab.frontend.ui.api import show_api_errors


def show_frozen_page(name: str, make: Callable[[], Files]) -> None:
    """Create the page on request, and then offer it: it may have to wait for its maps.

    Args:
        name: of the file and its folder.
        make: returns the files.
    """
    if st.button(
        "Make a frozen page",
        icon=":material/ac_unit:",
        help="A folder to share: it opens from disk, without a server, and has set-up, findings, tables, charts, maps "
        "and a page for each run",
    ):
        with st.spinner("Collecting results and maps"), show_api_errors():
            st.session_state["frozen"] = name, archive(make(), name)
    made = st.session_state.get("frozen")
    if made and made[0] == name:
        st.download_button(
            "Download the frozen page",
            made[1],
            f"{name}.zip",
            "application/zip",
            icon=":material/download:",
            type="primary",
            on_click="ignore",
        )
