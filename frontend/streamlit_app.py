"""The page's navigation; everything else is in `app_pages`."""

from pathlib import Path

import streamlit as st

from frontend.client import ApiError
from frontend.page_top import begin_at_the_top
from frontend.parts import show_flash, show_problem
from frontend.shortcuts import listen_for_shortcuts

st.set_page_config(page_title="DensityLab", page_icon=str(Path(__file__).with_name("icon.png")), layout="wide")

# Streamlit leaves a hand's breadth above every page
st.html("""<style>
.stMainBlockContainer { padding-top: 3.5rem; }
[data-testid="stCaptionContainer"] { color: color-mix(in srgb, currentColor 78%, transparent); opacity: 1; }
[data-variant="segmented_control"], [data-variant="segmented_control"] * { color: inherit !important; }
[data-testid="stSliderThumbValue"], [data-testid="stSliderThumbValue"] * { color: inherit !important; }
:focus-visible { outline: 2px solid currentColor !important; outline-offset: 1px; }
</style>""")
page = st.navigation([
    st.Page("app_pages/home.py", title="Home", icon=":material/home:", default=True),
    st.Page("app_pages/launch.py", title="Launch", icon=":material/rocket_launch:", url_path="launch"),
    st.Page("app_pages/experiments.py", title="Experiments", icon=":material/science:", url_path="experiments"),
    st.Page("app_pages/experiment.py", title="Experiment", url_path="experiment", visibility="hidden"),
    st.Page("app_pages/runs.py", title="Runs", icon=":material/list:", url_path="runs"),
    st.Page("app_pages/run.py", title="Run", icon=":material/show_chart:", url_path="run"),
    st.Page("app_pages/compare.py", title="Compare", icon=":material/scatter_plot:", url_path="compare"),
    st.Page("app_pages/saliency.py", title="Saliency", icon=":material/blur_on:", url_path="saliency"),
    st.Page("app_pages/stability.py", title="Stability", icon=":material/vibration:", url_path="stability"),
    st.Page("app_pages/density.py", title="Density", icon=":material/landscape:", url_path="density"),
    st.Page("app_pages/datasets.py", title="Data", icon=":material/database:", url_path="datasets"),
    st.Page("app_pages/system.py", title="System", icon=":material/dns:", url_path="system"),
], position="top")
listen_for_shortcuts()
begin_at_the_top(page.url_path)
show_flash()
try:
    page.run()
except ApiError as error:
    show_problem(error)
