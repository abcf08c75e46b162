"""Links from an error or a warning to the field that it is about."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_jumps", js=read_asset("ui/jumps.js"))


def follow_jumps() -> None:
    """Make the links of `jump_link` lead to their fields; call it once on a page."""
    _component()(key="densitylab_jumps", data={}, height=1)


def jump_link(text: str, anchor: str | None) -> str:
    """Return the text in Markdown, as a link to a place of `FieldErrors`; plain without an anchor."""
    return escaped(text) if anchor is None else f"[{escaped(text)}](#{anchor})"
