"""The button that opens the saliency maps of a comparison's groups side by side."""

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.formatting import joined
from densitylab.frontend.analysis.map_selection import one_of_each


def maps_button(comparison: Comparison) -> None:
    """Draw the button; it opens the maps of one run of each group, baselines always among them."""
    maps = one_of_each(comparison.groups, MAX_RUNS_PER_ATTRIBUTION, is_baseline=comparison.is_baseline)
    if st.button(
        f"Saliency maps of {maps.groups_text}",
        icon=":material/blur_on:",
        disabled=not maps.runs,
        help=f"The first succeeded seed of each group, at most {MAX_RUNS_PER_ATTRIBUTION}, baselines included. "
        f"{maps.text}",
    ):
        st.switch_page("app_pages/saliency.py", query_params={"runs": joined([run.id for run in maps.runs])})
