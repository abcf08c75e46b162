"""Tool bars appear on hover, and no chart offers to send itself to Plotly's server."""

import re
from pathlib import Path

import plotly.graph_objects as go

from densitylab.frontend.charts.plotly_config import PLOTLY_CONFIG

FRONTEND = Path(__file__).parents[3] / "frontend"
# What draws a chart: Streamlit's own, Plotly's export, and plotly.js
DRAWING = re.compile(r"\b(plotly_chart|to_html|write_html|newPlot|Plotly\.react)\(")


def test_the_configuration_has_no_upload():
    assert PLOTLY_CONFIG["displayModeBar"] == "hover"
    assert PLOTLY_CONFIG["showSendToCloud"] is False and PLOTLY_CONFIG["plotlyServerURL"] == ""
    document = go.Figure().to_html(config={**PLOTLY_CONFIG}, include_plotlyjs=False)
    assert '"showSendToCloud": false' in document and "plotly.com" not in document


def test_all_charts_are_drawn_in_two_places_with_this_configuration():
    files = [file for file in FRONTEND.rglob("*") if file.suffix in (".py", ".js", ".jinja")]
    drawing = [file for file in files if DRAWING.search(file.read_text(encoding="utf-8"))]
    assert sorted(str(file.relative_to(FRONTEND)) for file in drawing) == ["frozen/charts.js", "ui/live_chart.js"]
    assert "figure.config" in (FRONTEND / "frozen/charts.js").read_text()
    assert 'content["config"] = {**PLOTLY_CONFIG}' in (FRONTEND / "frozen/charts.py").read_text()
    assert "...box.pending.config" in (FRONTEND / "ui/live_chart.js").read_text()
    assert '"config": PLOTLY_CONFIG' in (FRONTEND / "ui/live_chart.py").read_text()
