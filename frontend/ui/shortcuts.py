"""Keyboard shortcuts of all pages, listed under `?`."""

import functools
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset, template

PAGES = {  # key -> the file of its page, its title
    "h": ("home", "Home"),
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
    "Ctrl + K": "go to a page, an experiment or a run",
    "/": "search, on pages with a search field",
    "p": "pause or resume refreshing",
    "Esc": "close the dialog",
    "Tab, Shift + Tab": "next or previous control",
    "Enter, Space": "press the focused control",
    "Ctrl + Enter": "launch, on the Launch page",
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
    """Draw the `?` in the corner, listen for the keys and open the page of a pressed one; call it once on every page,
    after the navigation."""
    result = _component()(key="densitylab_shortcuts", data={"pages": list(PAGES)}, height=1, on_pressed_change=_ignore)
    if result.pressed in PAGES:
        st.switch_page(f"app_pages/{PAGES[result.pressed][0]}.py")


def _ignore() -> None:
    """Do nothing: the pressed key is read from the component's result."""
