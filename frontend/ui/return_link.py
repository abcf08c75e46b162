"""Opens the link that asked for a login once somebody has logged in; the login itself ends at the first page."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_return_link", js=read_asset("ui/return_link.js"))


def keep_link() -> None:
    """Keep the link of the browser's tab until the login."""
    _component()(key="densitylab_return_link", data={"waiting": True}, height=1)


def open_kept_link() -> None:
    """Open the link that the tab kept, if there is one."""
    _component()(key="densitylab_return_link", data={"waiting": False}, height=1)
