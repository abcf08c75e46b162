"""The button that opens the saliency maps of a comparison's groups side by side."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION
from densitylab.backend.shared.statistics.groups import Group
from densitylab.frontend.analysis.formatting import counted, joined
from densitylab.frontend.analysis.map_selection import one_of_each


def maps_button(groups: Sequence[Group]) -> None:
    """Draw the button; it opens the maps of one run of each group."""
    maps = one_of_each(groups, MAX_RUNS_PER_ATTRIBUTION)
    if st.button(
        f"Saliency maps of {counted(len(maps.runs), 'group')}",
        icon=":material/blur_on:",
        disabled=not maps.runs,
        help=f"The first succeeded seed of each group, at most {MAX_RUNS_PER_ATTRIBUTION}, baselines included. "
        f"{maps.text}",
    ):
        st.switch_page("app_pages/saliency.py", query_params={"runs": joined([run.id for run in maps.runs])})
