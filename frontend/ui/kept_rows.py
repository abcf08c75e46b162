"""The rows of a table that refreshes: Streamlit keeps the positions of selected rows, so the rows stay meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from densitylab.frontend.analysis.formatting import counted


@dataclass(frozen=True)
class _Shown:
    view: object
    wanted: int
    ids: list[int]


@dataclass(frozen=True)
class KeptRows:
    """The rows of the table with this name."""

    name: str

    @property
    def key(self) -> str:
        """The key of the table's widget."""
        return f"{self.name}-{st.session_state.get(f'{self.name}/version', 0)}"

    @property
    def selected(self) -> bool:
        """True while a row is selected."""
        state = st.session_state.get(self.key)
        return state is not None and bool(state["selection"]["rows"])

    def order(self, ids: Sequence[int], *, view: object = None, wanted: int = 0) -> list[int]:
        """Return the ids of the rows to show: these, or while rows are selected those of before in their order.

        Args:
            ids: of the rows as they would be now.
            view: the filters and the order that they have; a change clears the selection.
            wanted: how many rows the user has asked for; with more, further ones follow those of before.
        """
        before: _Shown | None = st.session_state.get(f"{self.name}/shown")
        if self.selected and (before is None or before.view != view):
            self.clear()
        shown = list(ids)
        if self.selected and before is not None:
            shown = before.ids
            if wanted > before.wanted:
                shown = [*shown, *(item for item in ids if item not in shown)]
        st.session_state[f"{self.name}/shown"] = _Shown(view, wanted, shown)
        return shown

    def clear(self) -> None:
        """Select no row."""
        st.session_state[f"{self.name}/version"] = st.session_state.get(f"{self.name}/version", 0) + 1

    def show_caption(self, hidden: int, noun: str, *, hint: str = "") -> None:
        """Say that the order is kept while rows are selected, and how many rows are hidden meanwhile; before, in the
        same place, the hint."""
        if self.selected:
            more = f"; {counted(hidden, f'newer {noun}')} hidden" if hidden else ""
            st.caption(f"The order is kept while rows are selected{more}.")
        elif hint:
            st.caption(hint)
