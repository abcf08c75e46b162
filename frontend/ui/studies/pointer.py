"""The line that points from Home and Launch to the studies."""

import streamlit as st


def show_pointer() -> None:
    """Draw the line."""
    st.page_link(
        "app_pages/studies.py",
        label=":gray[A question rather than a launch? Studies launch all runs that answer it, with tests and figures.]",
        icon=":material/quiz:",
    )
