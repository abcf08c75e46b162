"""Keyboard shortcuts of all pages, listed under `?`."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset, template

PAGES = {
    "h": ("", "Home"),
    "l": ("launch", "Launch"),
    "e": ("experiments", "Experiments"),
    "r": ("runs", "Runs"),
    "m": ("models", "Models"),
    "c": ("compare", "Compare"),
    "s": ("saliency", "Saliency"),
    "b": ("stability", "Stability"),
    "n": ("density", "Density"),
    "d": ("datasets", "Data"),
    "y": ("system", "System"),
}
KEYS = {
    "?": "show this list",
    "/": "search, on pages with a search field",
    "p": "pause or resume refreshing",
    "Esc": "close the dialog",
    "Tab, Shift + Tab": "next or previous control",
    "Enter, Space": "press the focused control",
    "← ↑ ↓ →": "move in a table",
    **{f"g then {key}": title for key, (_, title) in PAGES.items()},
}


@functools.cache
def _component() -> Any:
    return st.components.v2.component(
        "densitylab_shortcuts",
        html=template("ui/shortcuts.html.jinja").render(keys=KEYS),
        css=read_asset("ui/shortcuts.css"),
        js=read_asset("ui/shortcuts.js"),
        isolate_styles=False,
    )


def listen_for_shortcuts() -> None:
    """Draw the `?` in the corner and listen for the keys; call it once on every page."""
    pages = {key: path for key, (path, _) in PAGES.items()}
    _component()(key="densitylab_shortcuts", data={"pages": pages}, height=1)
