"""The jump from a comparison to a run."""

import streamlit as st

from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.formatting import joined
from densitylab.frontend.ui.sample_drilldown import LINK as IMAGES_LINK

MAX_MAPS = 6


def open_run(run_id: int, comparison: Comparison, images: str | None = None) -> None:
    """Open the page of the run; its link names one run of each other group, for saliency maps side by side.

    Args:
        run_id: of the comparison.
        comparison: the groups.
        images: the query parameter of the test images to show on the run's page.
    """
    others = [group.runs[0].id for group in comparison.groups if run_id not in [run.id for run in group.runs]]
    query = {"run": str(run_id), **({"with": joined(others[: MAX_MAPS - 1])} if others else {})}
    if images:
        query[IMAGES_LINK] = images
    st.switch_page("app_pages/run.py", query_params=query)
