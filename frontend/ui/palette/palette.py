"""The command palette: Ctrl + K opens a field that finds pages, experiments, runs and actions."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset
from densitylab.frontend.client import ApiError
from densitylab.frontend.ui.api import api
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.palette.destinations import NUMBERED, as_json, newest, pages

_FOUND = "palette-destinations"


@functools.cache
def _component() -> Any:
    return st.components.v2.component(
        "densitylab_palette",
        html=read_asset("ui/palette/palette.html"),
        css=read_asset("ui/palette/palette.css"),
        js=read_asset("ui/palette/palette.js"),
        isolate_styles=False,
    )


@fragment()
def command_palette() -> None:
    """Listen for Ctrl + K, and open what was chosen; call it once on every page, after the navigation.

    Experiments and runs are read when the palette opens, without a rerun of the page; until they are there it has the
    pages. Where the API does not answer, it keeps them.
    """
    found = st.session_state.get(_FOUND, [])
    data = {"destinations": as_json([*pages(), *found]), "numbered": NUMBERED}
    result = _component()(
        key="densitylab_palette", data=data, height=1, on_asked_change=_ignore, on_chosen_change=_ignore
    )
    if result.chosen:
        st.switch_page(f"app_pages/{result.chosen['page']}.py", query_params=result.chosen["query"])
    if result.asked:
        try:
            st.session_state[_FOUND] = list(newest(api()))
        except ApiError:
            return
        st.rerun(scope="fragment")


def _ignore() -> None:
    """Do nothing: what was pressed is read from the component's result."""
