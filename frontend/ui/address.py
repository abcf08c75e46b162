"""Parameters of the browser's address that a page writes by itself: they add no entry to the browser's history, as
those of `st.query_params` do."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_address", js=read_asset("ui/address.js"))


def replace_parameter(name: str, value: str) -> None:
    """Give a parameter of the present address this value, or remove it where the value is empty; call it once on a page
    for each name. `st.query_params` has it from the next rerun of the page on."""
    _component()(key=f"densitylab_address_{name}", data={"name": name, "value": value}, height=1)
