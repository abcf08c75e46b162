"""Arrays of evaluations, cached until the evaluation runs again."""

import streamlit as st

from densitylab.backend.shared.contracts import Evaluation
from densitylab.frontend.analysis.sample_arrays import Arrays, fetch
from densitylab.frontend.ui.api import api, caller


def cached_sample_arrays(run_id: int, item: Evaluation) -> Arrays:
    """Return the values per test image by name; empty where none are stored."""
    return _cached(caller(), run_id, item.name, f"{item.seconds} {item.provenance.get('checkpoint_step')}")


@st.cache_data(show_spinner=False, max_entries=50)
def _cached(caller: str, run_id: int, name: str, version: str) -> Arrays:
    return fetch(api(), run_id, name)
