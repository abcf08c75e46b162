"""The arrays of evaluations, kept by the page while these are not measured again."""

import streamlit as st

from backend.shared.contracts import Evaluation
from frontend.parts import api
from frontend.per_image import Arrays, fetch


def per_image(run_id: int, item: Evaluation) -> Arrays:
    """One value per test image, by name; empty where they are not kept."""
    return _kept(run_id, item.name, f"{item.seconds} {item.provenance.get('checkpoint_step')}")


@st.cache_data(show_spinner=False, max_entries=50)
def _kept(run_id: int, name: str, version: str) -> Arrays:
    return fetch(api(), run_id, name)
