"""The rows of a table that refreshes: the browser sorts them and keeps the positions of selected ones, so neither rows
nor values change meanwhile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from densitylab.frontend.analysis.formatting import counted


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

    def order(self, ids: Sequence[int], *, view: object = None, every: bool = False) -> list[int]:
        """Return the ids of the rows to show: these, or while rows are selected those of before in their order.

        Args:
            ids: of the rows as they would be now.
            view: the filters, the order and the columns that they have; a change clears the selection.
            every: whether there are no others; where a row of before is gone, the selection is cleared.
        """
        before_view, before = st.session_state.get(f"{self.name}/rows", (None, None))
        if self.selected and (before is None or before_view != view or (every and not set(before) <= set(ids))):
            self.clear()
        shown = before if self.selected and before is not None else list(ids)
        st.session_state[f"{self.name}/rows"] = view, shown
        return shown

    def table(self, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return the table to draw: a new one, or while rows are selected the one of before."""
        name = f"{self.name}/table"
        if not self.selected or name not in st.session_state:
            st.session_state[name] = make()
        table: pd.DataFrame = st.session_state[name]
        return table

    def clear(self) -> None:
        """Select no row."""
        st.session_state[f"{self.name}/version"] = st.session_state.get(f"{self.name}/version", 0) + 1

    def show_caption(self, hidden: int, noun: str, *, hint: str) -> None:
        """Say that the table stays as it is while rows are selected, and how many rows are hidden meanwhile; before, in
        the same place and of the same height, the hint."""
        more = f"; {counted(hidden, f'newer {noun}')} hidden" if hidden else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            words = f"The table stays as it is while rows are selected{more}." if self.selected else hint
            st.caption(words, width="content")
            st.button(
                "Clear the selection",
                type="tertiary",
                key=f"{self.name}-clear",
                on_click=self.clear,
                disabled=not self.selected,
            )
