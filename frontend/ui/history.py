"""Opening another page adds one entry to the browser's history, in place of Streamlit's two."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_history", js=read_asset("ui/history.js"))


def keep_history() -> None:
    """Let Back lead from a page that was opened by a button to the address before; call it once on every page."""
    _component()(key="densitylab_history", height=1)
