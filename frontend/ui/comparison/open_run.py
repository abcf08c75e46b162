"""The jump from a comparison to a run."""

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.formatting import joined
from densitylab.frontend.analysis.map_selection import one_of_each
from densitylab.frontend.ui.sample_drilldown import LINK as IMAGES_LINK


def run_query(run_id: int, comparison: Comparison) -> dict[str, str]:
    """Return the parameters of the link to a run; they name a run of each other group, for saliency maps side by
    side."""
    groups = [group for group in comparison.groups if run_id not in [run.id for run in group.runs]]
    others = [
        run.id for run in one_of_each(groups, MAX_RUNS_PER_ATTRIBUTION - 1, is_baseline=comparison.is_baseline).runs
    ]
    return {"run": str(run_id), **({"with": joined(others)} if others else {})}


def open_run(run_id: int, comparison: Comparison, images: str | None = None) -> None:
    """Open the page of the run.

    Args:
        run_id: of the comparison.
        comparison: the groups.
        images: the query parameter of the test images to show on the run's page.
    """
    query = run_query(run_id, comparison)
    if images:
        query[IMAGES_LINK] = images
    st.switch_page("app_pages/run.py", query_params=query)
