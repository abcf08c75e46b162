"""A Plotly chart that is updated in place: zoom and hidden traces survive every refresh.

Streamlit remounts its own Plotly chart whenever the data changes. This component keeps one chart and calls
`Plotly.react` on it. `densitylab.frontend.page_server` serves the plotly.js of the Python package.
"""

import functools
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st
from plotly.io import to_json

from densitylab.frontend.assets import read_asset
from densitylab.frontend.charts.plotly_config import PLOTLY_CONFIG

# Relative to the page. The browser caches it, also compiled; inline it would be 4.6 MB of every opened page
LIBRARY = f"plotly-{plotly.__version__}.min.js"


@functools.cache
def _library() -> Any:
    return st.components.v2.component("densitylab_plotly", js=read_asset("ui/load_plotly.js"))


@functools.cache
def _chart() -> Any:
    return st.components.v2.component(
        "densitylab_chart",
        html='<div class="densitylab-chart" role="group" style="width:100%;height:100%"></div>',
        css=".densitylab-chart { min-height: 100%; color: var(--st-text-color); transition: color 1ms; }",
        js=read_asset("ui/live_chart.js"),
        isolate_styles=False,
    )


def load_charts() -> None:
    """Load plotly.js in the browser; call it once on a page, outside its live part."""
    _library()(key="densitylab_plotly", data={"library": LIBRARY}, height=1)


def live_chart(
    figure: go.Figure | dict[str, Any] | str,
    *,
    key: str,
    label: str,
    height: int = 300,
    clickable: bool = False,
    linked: bool = False,
) -> Any | None:
    """Draw or update the chart.

    Args:
        figure: a Plotly figure, a dictionary or JSON; its `uirevision` decides what survives a refresh.
        key: the chart's identity on the page.
        label: its content in words, for screen readers.
        height: pixels.
        clickable: whether a click on a point reruns the page.
        linked: whether other linked charts highlight the point under the pointer.

    Returns:
        The `customdata` of the point just clicked, else None.
    """
    data = {
        "config": PLOTLY_CONFIG,
        "figure": figure if isinstance(figure, str) else to_json(figure, validate=False),
        "label": label,
        "height": height,
        "clickable": clickable,
        "linked": linked,
        "name": f"densitylab-{key}",
    }
    result = _chart()(key=key, data=data, height=height, on_clicked_change=_ignore)
    return result.clicked if clickable else None


def _ignore() -> None:
    """Do nothing: the caller reads the click from the component's result."""
