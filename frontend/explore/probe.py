"""The probe: the values under the pointer, of the same pixel in every map of the card."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component(
        "densitylab_probe",
        html='<div class="dl-probe" role="status" hidden></div>',
        css=read_asset("explore/probe.css"),
        js=read_asset("explore/probe.js"),
        isolate_styles=False,
    )


def show_pixel_values() -> None:
    """Show the values of maps under the pointer; call it once on a page."""
    _component()(key="densitylab_probe", height=1)
