"""The configuration of every Plotly chart, on the page and in reports."""

from typing import Any

# By default plotly.js has a button that sends a chart and its data to Plotly's server
PLOTLY_CONFIG: dict[str, Any] = {
    "displayModeBar": "hover",
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
    "plotlyServerURL": "",
    "responsive": True,
    "showSendToCloud": False,
}
