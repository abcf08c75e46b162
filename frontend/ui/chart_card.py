"""Charts with their data as a table, and tables as files."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from densitylab.frontend.analysis.csv_table import to_csv
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.live_chart import live_chart

TABLE_ICON = ":material/table:"
_TABLE_WIDTH = 560  # pixels


def downloads(make: Callable[[], pd.DataFrame], name: str) -> None:
    """Draw two buttons that download the table as CSV and as JSON; it is made at the click."""
    with st.container(horizontal=True):
        st.download_button(
            "CSV",
            lambda: to_csv(make()),
            f"{name}.csv",
            "text/csv",
            key=f"{name}-csv",
            icon=":material/download:",
            on_click="ignore",
            help="This table as comma-separated values",
        )
        st.download_button(
            "JSON",
            lambda: make().to_json(orient="records", force_ascii=False, indent=1),
            f"{name}.json",
            "application/json",
            key=f"{name}-json",
            icon=":material/download:",
            on_click="ignore",
            help="This table as a list of rows",
        )


def show_table(table: pd.DataFrame, name: str) -> None:
    """Draw the table with the buttons that download it."""
    st.dataframe(table, hide_index=True)
    downloads(lambda: table, name)


@fragment()
def table_icon(draw: Callable[[], Any], *, key: str, label: str = "The chart's data as a table") -> None:
    """Draw a small icon at the right that opens a table, which is drawn while it is open.

    Args:
        draw: draws the table.
        key: of the icon.
        label: what it opens.
    """
    with st.container(horizontal=True, horizontal_alignment="right"):
        popover = st.popover(TABLE_ICON, type="tertiary", help=label, key=key, on_change="rerun")
    if popover.open:
        with popover, st.container(width=_TABLE_WIDTH):
            draw()


def chart_card(
    figure: go.Figure | str,
    table: Callable[[], pd.DataFrame],
    *,
    key: str,
    label: str,
    height: int,
    opens: Callable[[Any], Any] | None = None,
    linked: bool = True,
) -> None:
    """Draw a chart and, behind an icon below it, its data.

    Args:
        figure: a Plotly figure or its JSON.
        table: makes the data of the chart, once they are opened.
        key: the chart's identity on the page and the name of its files.
        label: its content in words, for screen readers.
        height: pixels.
        opens: called with the `customdata` of a clicked point, such as its run.
        linked: whether the other charts highlight the point under the pointer.
    """
    clicked = live_chart(figure, key=key, label=label, height=height, clickable=opens is not None, linked=linked)
    if clicked and opens:
        opens(clicked)
    table_icon(lambda: show_table(table(), key), key=f"{key}-table")
