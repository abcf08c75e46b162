"""The tables of a study; a selected row shows links to its runs and their images."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts.studies import StudyReport, StudyTable
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.analysis.study_text import READING_NOTE, result_table, shared_notes
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.chart_card import downloads
from densitylab.frontend.ui.studies.run_links import show_run_links


def show_result_tables(report: StudyReport) -> None:
    """Draw the tables, those of one title together."""
    for title in dict.fromkeys(table.title for table in report.tables):
        st.header(escaped(title))
        tables = [table for table in report.tables if table.title == title]
        for table in tables:
            _show_table(table, key=f"{title}-{table.launch}")
        notes = shared_notes([result_table(table, catalog()) for table in tables])
        st.caption(escaped(f"{notes} {READING_NOTE} Select a row for its runs and images."))


def _show_table(table: StudyTable, *, key: str) -> None:
    text = result_table(table, catalog())
    st.markdown(f"**{escaped(table.launch_label)}**")
    event = st.dataframe(
        pd.DataFrame(text.rows, columns=text.columns),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"study-table-{key}",
        column_config={"method": st.column_config.TextColumn(pinned=True)},
    )
    for index in event.selection.rows:
        if index < len(text.runs):
            show_run_links(f"{text.rows[index][0]}, λ = {text.rows[index][1]}", text.runs[index])
    downloads(lambda: _numbers(table, text.rows), f"{table.launch}-{table.title.lower().replace(' ', '-')}")


def _numbers(table: StudyTable, rows: list[list[str]]) -> pd.DataFrame:
    """Return a row for each run with its values, not rounded."""
    return pd.DataFrame(
        [
            {
                "method": words[0],
                "lambda": row.lambda_,
                "run": run,
                "seed": row.seeds[index],
                **{column.result: cell.per_seed[index] for column, cell in zip(table.columns, row.cells, strict=True)},
            }
            for row, words in zip(table.rows, rows, strict=True)
            for index, run in enumerate(row.runs)
        ]
    )
