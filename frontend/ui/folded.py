"""Parts of a page that are drawn once they are opened: until then they take the browser no time."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from densitylab.frontend.ui.entry_points import fragment


@fragment()
def folded(label: str, draw: Callable[[], Any], *, key: str, expanded: bool = False, icon: str | None = None) -> None:
    """Draw an expander, and its content while it is open.

    Args:
        label: of the expander.
        draw: draws the content.
        key: of the expander; its state is whether it is open.
        expanded: whether it is open at first.
        icon: before the label.
    """
    expander = st.expander(label, expanded, key=key, icon=icon, on_change="rerun")
    if expander.open:
        with expander:
            draw()
