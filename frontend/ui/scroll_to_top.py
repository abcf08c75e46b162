"""Scrolls a newly opened page to its top; Streamlit keeps the scroll position of the previous page."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_page_top", js=read_asset("ui/scroll_to_top.js"))


def scroll_to_top(page: str) -> None:
    """Scroll to the top if another page was open; call it once, before the page with this name is drawn."""
    _component()(key="densitylab_page_top", data={"page": page}, height=1)
