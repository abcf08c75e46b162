"""Runs that a run starts from, and runs that start from it, with links."""

import streamlit as st

from densitylab.backend.shared.contracts import Ancestor, Run

_CHILDREN = 12  # links


def show_lineage(run: Run) -> None:
    """Draw a line for each run that this one goes back to, nearest first, and one for those that start from it."""
    for depth, ancestor in enumerate(run.lineage.ancestors):
        verb = "continues" if ancestor.mode == "continue" else "starts from the weights of"
        text = f"which {verb}" if depth else verb.capitalize()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(text, width="content")
            _link(ancestor.run, _label(ancestor), deleted=ancestor.deleted)
    children = run.lineage.children
    if children:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("Start of", width="content")
            for child in children[:_CHILDREN]:
                _link(child, f"run {child}")
            if len(children) > _CHILDREN:
                st.markdown(f"and {len(children) - _CHILDREN} more", width="content")


def _label(ancestor: Ancestor) -> str:
    if ancestor.epochs is None:
        return f"run {ancestor.run}"
    if ancestor.mode == "continue" and ancestor.epochs.is_integer() and ancestor.epochs > 1:
        return f"run {ancestor.run} (epochs 1–{ancestor.epochs:g})"
    return f"run {ancestor.run} (after {ancestor.epochs:g} epochs)"


def _link(run_id: int, label: str, *, deleted: bool = False) -> None:
    if deleted:
        st.markdown(f"{label}, deleted", width="content")
    else:
        st.page_link("app_pages/run.py", label=label, query_params={"run": str(run_id)}, width="content")
