"""Charts with their data as a table, and tables as files: what the comparing pages share."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from frontend.live_chart import live_chart


def downloads(table: pd.DataFrame, name: str) -> None:
    """Two buttons: the table as CSV and as JSON (a list of rows)."""
    with st.container(horizontal=True):
        st.download_button("CSV", lambda: table.to_csv(index=False), f"{name}.csv", "text/csv",
                           key=f"{name}-csv", icon=":material/download:", on_click="ignore",
                           help="This table as comma-separated values")
        st.download_button("JSON", lambda: table.to_json(orient="records", force_ascii=False, indent=1),
                           f"{name}.json", "application/json", key=f"{name}-json", icon=":material/download:",
                           on_click="ignore", help="This table as a list of rows")


def chart(
    figure: go.Figure | str, table: pd.DataFrame, *, key: str, label: str, height: int,
    opens: Callable[[Any], Any] | None = None, linked: bool = True,
) -> None:
    """A chart and, folded below it, its data.

    Args:
        figure: what to draw, or its JSON.
        table: the same numbers.
        key: the chart's identity on the page, and the name of its files.
        label: what it shows, for those who do not see it.
        height: pixels.
        opens: what a click on a point does with its `customdata`, such as its run.
        linked: whether what is under the pointer shows in the other charts too.
    """
    clicked = live_chart(figure, key=key, label=label, height=height, clickable=opens is not None, linked=linked)
    if clicked and opens:
        opens(clicked)
    with st.expander("As a table"):
        st.dataframe(table, hide_index=True)
        downloads(table, key)
