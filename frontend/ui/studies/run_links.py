"""Links to some runs: each by itself, in a comparison, and their saliency maps."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION
from densitylab.frontend.analysis.formatting import escaped, joined


def show_run_links(label: str, runs: Sequence[int]) -> None:
    """Draw the links in a row.

    Args:
        label: what the runs have in common.
        runs: their numbers.
    """
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escaped(label)}**", width="content")
        if not runs:
            st.caption("No runs.")
            return
        for run in runs:
            st.page_link(
                "app_pages/run.py", label=f"run {run}", icon=":material/show_chart:", query_params={"run": str(run)}
            )
        st.page_link(
            "app_pages/compare.py",
            label="compare",
            icon=":material/scatter_plot:",
            query_params={"runs": joined(runs)},
        )
        st.page_link(
            "app_pages/saliency.py",
            label="saliency maps",
            icon=":material/blur_on:",
            query_params={"runs": joined(runs[:MAX_RUNS_PER_ATTRIBUTION])},
        )
