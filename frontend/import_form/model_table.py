"""The imported models: a table with their accuracies, and links to the pages that look at them."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION, Origin, Run
from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.frontend.analysis.formatting import joined, run_flags, status_text
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.api import api, catalog
from densitylab.frontend.ui.chart_card import downloads
from densitylab.frontend.ui.kept_rows import KeptRows

SHOWN = 100
_TABLE = KeptRows("models-table")


def imported_models() -> list[Run]:
    """Return the newest imported models."""
    return api().runs(origin=Origin.IMPORTED, limit=SHOWN).items


def show_models(models: list[Run]) -> None:
    """Draw a row per model, and the buttons for the selected ones."""
    if not models:
        st.info("No imported models yet. Import one below: a checkpoint file, or published weights.")
        return
    actions = st.container()
    by_id = {run.id: run for run in models}
    order = _TABLE.order(list(by_id), every=True)
    table = _TABLE.table(lambda: pd.DataFrame([_row(by_id[number], catalog()) for number in order]).fillna(""))
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=_TABLE.key,
        height=min(37 + 35 * len(order), 420),
        column_config={
            "File": st.column_config.TextColumn(pinned=True),
            "Run": st.column_config.NumberColumn(format="%d", width="small"),
        },
    )
    st.caption("Accuracy on the test images, with its 95 % interval over them.")
    downloads(lambda: table, "models")
    with actions:
        _show_actions([by_id[order[row]] for row in event.selection.rows if row < len(order)])


def _row(run: Run, catalog: Catalog) -> dict[str, object]:
    accuracy = run.results.get(ACCURACY)
    row: dict[str, object] = {"File": run.source_name, "Run": run.id}
    if accuracy is None:
        row["Accuracy"] = "being evaluated" if run.status.final else status_text(run.status)
    else:
        row |= {
            "Accuracy": f"{accuracy.value:.4f}" if accuracy.value is not None else "—",
            "95 % interval": f"{accuracy.low:.4f} to {accuracy.high:.4f}" if accuracy.low is not None else "",
            "n": f"{accuracy.n:,}",
        }
    row |= {
        "Network": catalog.label("model", run.spec.model.key),
        "Data set": catalog.label("dataset", run.spec.dataset.key),
        "Imported (UTC)": run.created_at.strftime("%Y-%m-%d %H:%M"),
    }
    if flags := run_flags(run):
        row["Warnings"] = "⚠ " + ", ".join(flags)
    return row


def _show_actions(chosen: list[Run]) -> None:
    if not chosen:
        st.caption("Select rows to open, compare or look at maps.")
        return
    ids = [run.id for run in chosen]
    with st.container(horizontal=True):
        if st.button("Run", icon=":material/show_chart:", disabled=len(ids) != 1):
            st.switch_page("app_pages/run.py", query_params={"run": str(ids[0])})
        if st.button(f"Compare {len(ids)}", icon=":material/scatter_plot:"):
            st.switch_page("app_pages/compare.py", query_params={"runs": joined(ids)})
        if st.button(
            f"Saliency maps of {len(ids)}", icon=":material/blur_on:", disabled=len(ids) > MAX_RUNS_PER_ATTRIBUTION
        ):
            st.switch_page("app_pages/saliency.py", query_params={"runs": joined(ids)})
