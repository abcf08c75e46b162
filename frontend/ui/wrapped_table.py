"""A table that shows every cell in full: texts wrap, where those of `st.dataframe` are cut."""

import pandas as pd
import streamlit as st

from densitylab.frontend.analysis.formatting import escaped


def wrapped_table(table: pd.DataFrame) -> None:
    """Draw a table of texts without its index."""
    st.table(table.map(escaped).rename(columns=escaped), hide_index=True)
