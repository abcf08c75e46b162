"""The table of a comparison: a row per group, with means over seeds and differences from the baseline."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import Comparison, column_label, short_label
from densitylab.frontend.analysis.controls import controls_text
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.analysis.tables import BEST, SEEDS, numbers, summary
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.chart_card import downloads
from densitylab.frontend.ui.comparison.open_run import open_run


def show_group_table(comparison: Comparison, columns: Sequence[Column]) -> None:
    """Draw the table; a selected row opens a run of its group."""
    table = summary(
        comparison, columns, catalog(), all_settings=st.session_state["identical"], deltas=st.session_state["deltas"]
    )
    table.insert(0, "●", "●")
    colors = pd.DataFrame("", table.index, table.columns)
    colors["●"] = [f"color: {color}" for color in comparison.colors]
    config = {
        name: st.column_config.TextColumn("Δ", help=f"{name}: difference from the baseline", width=98)
        for name in table.columns
        if name.startswith("Δ ")
    }
    config |= {
        short_label(column, comparison, catalog()): st.column_config.TextColumn(
            help=column_label(column, comparison, catalog()), width=114
        )
        for column in columns
    }
    config |= {"λ": st.column_config.TextColumn(width=52), SEEDS: st.column_config.TextColumn(width=96)}
    config["●"] = st.column_config.TextColumn("", help="Colour of the group in all charts", width=24)
    event = st.dataframe(
        table.style.apply(lambda _: colors, axis=None),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="groups",
        column_config=config,
        width="content",
    )
    if event.selection.rows:
        open_run(comparison.groups[event.selection.rows[0]].runs[0].id, comparison)
    if not columns:
        st.caption("Results appear as evaluations finish. Select a row to open its run.")
        return
    st.caption(
        f"Mean ± half-width of the 95 % Student-t interval over finished seeds. {BEST.strip()}: best mean, apart from "
        "all others (paired t tests by seed, Holm's correction over the table, 5 %). Δ: difference from the baseline, "
        "paired by seed; p values are in the download. Select a row or click a point below to open its run."
    )
    if controls := controls_text(comparison, columns, catalog()):
        st.caption(escaped(controls))
    downloads(pd.DataFrame(numbers(comparison, columns, catalog())), "comparison")
