"""A page that an error of Streamlit's turned white is loaded again."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_recovery", js=read_asset("ui/recovery.js"))


def recover_from_white_pages() -> None:
    """Let the browser load a page again that has turned white; call it once on every page."""
    _component()(key="densitylab_recovery", height=1)
