"""The places of the Launch page."""

from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.frontend.assets import read_asset


@dataclass(frozen=True)
class Layout:
    """Places in the order in which a narrow window shows them and the Tab key visits them."""

    essentials: DeltaGenerator
    summary: DeltaGenerator  # in a wide window right of the others
    settings: DeltaGenerator


def draw_layout() -> Layout:
    """Draw the empty places."""
    st.html(f"<style>{read_asset('launch_form/layout.css')}</style>")
    with st.container(key="launch-layout"):
        return Layout(
            st.container(key="launch-essentials"),
            st.container(key="launch-summary"),
            st.container(key="launch-settings"),
        )
