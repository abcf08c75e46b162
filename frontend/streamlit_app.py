"""The navigation; the pages are in `app_pages`."""

import gc
from pathlib import Path

import streamlit as st
from pydantic import ValidationError

from densitylab.frontend.assets import read_asset
from densitylab.frontend.client import ApiError
from densitylab.frontend.import_form.outcome import IMPORT
from densitylab.frontend.ui.api import show_problem
from densitylab.frontend.ui.history import keep_history
from densitylab.frontend.ui.login import is_admitted, show_login, show_user
from densitylab.frontend.ui.palette.palette import command_palette
from densitylab.frontend.ui.recovery import recover_from_white_pages
from densitylab.frontend.ui.scroll_to_top import scroll_to_top
from densitylab.frontend.ui.shortcuts import listen_for_shortcuts
from densitylab.frontend.ui.status import show_flash

HERE = Path(__file__).parent


@st.cache_resource(show_spinner=False)
def keep_loaded(page: str) -> None:
    """Exempt all that the page has loaded, mostly libraries, from garbage collection, once for each page."""
    gc.collect()
    gc.freeze()


st.html(f"<style>{read_asset('streamlit_app.css')}</style>")
st.logo(str(HERE / "logo.svg"))
page = st.navigation(
    {
        "Work": [
            st.Page("app_pages/home.py", title="Home", icon=":material/home:", default=True),
            st.Page("app_pages/launch.py", title="Launch", icon=":material/rocket_launch:", url_path="launch"),
            st.Page("app_pages/experiments.py", title="Experiments", icon=":material/science:", url_path="experiments"),
            st.Page("app_pages/experiment.py", title="Experiment", url_path="experiment", visibility="hidden"),
            st.Page("app_pages/runs.py", title="Runs", icon=":material/list:", url_path="runs"),
            st.Page("app_pages/run.py", title="Run", icon=":material/show_chart:", url_path="run"),
            st.Page("app_pages/studies.py", title="Studies", icon=":material/quiz:", url_path="studies"),
        ],
        "Inspect": [
            st.Page("app_pages/compare.py", title="Compare", icon=":material/scatter_plot:", url_path="compare"),
            st.Page("app_pages/saliency.py", title="Saliency", icon=":material/blur_on:", url_path="saliency"),
            st.Page("app_pages/stability.py", title="Stability", icon=":material/vibration:", url_path="stability"),
            st.Page("app_pages/density.py", title="Density", icon=":material/landscape:", url_path="density"),
            st.Page("app_pages/lambda_slider.py", title="λ slider", icon=":material/linear_scale:", url_path="lambda"),
        ],
        "Set-up": [
            st.Page("app_pages/models.py", title="Models", icon=":material/upload_file:", url_path="models"),
            st.Page("app_pages/datasets.py", title="Data", icon=":material/database:", url_path="datasets"),
            st.Page("app_pages/system.py", title="System", icon=":material/dns:", url_path="system"),
        ],
    },
    position="top" if is_admitted() else "hidden",
)
# A run's and an experiment's page have its number in their links
title = " ".join(filter(None, [page.title, st.query_params.get(page.url_path)]))
st.set_page_config(page_title=f"{title} · DensityLab", page_icon=str(HERE / "icon.png"), layout="wide")
if not is_admitted():
    show_login()
    st.stop()
show_user()
listen_for_shortcuts()
keep_history()
recover_from_white_pages()
command_palette()
scroll_to_top(f"{page.url_path} {st.query_params.get(IMPORT, '')}")  # an import is shown at the top of Models
show_flash()
try:
    page.run()
except (ApiError, ValidationError) as error:
    # A rerun draws the page again with what was typed (`persist_state`)
    show_problem(error)
    st.button("Try again", icon=":material/refresh:")
keep_loaded(page.url_path)
