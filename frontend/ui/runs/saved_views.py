"""Named views of a page: its filters as links, kept in the browser."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset


@functools.cache
def _component() -> Any:
    return st.components.v2.component(
        "densitylab_saved_views",
        html='<div class="densitylab-views"></div>',
        css=read_asset("ui/runs/saved_views.css"),
        js=read_asset("ui/runs/saved_views.js"),
        isolate_styles=False,
    )


def show_saved_views(page: str) -> None:
    """Draw the saved views of a page, each a link, and a field that saves the present one under a name.

    Args:
        page: its path in the address.
    """
    _component()(key=f"views-{page}", data={"page": page})
