"""Charts of a frozen page: data for plotly.js, a caption, and links to the runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from densitylab.frontend.charts.plotly_config import PLOTLY_CONFIG


@dataclass(frozen=True)
class Chart:
    """The fields of the template's figure."""

    title: str
    marks: str  # what they stand for, a sentence
    runs: list[int]  # links below the chart
    data: Markup  # JSON that can stand in a script element


def chart(figure: go.Figure | dict[str, Any], marks: str, runs: Sequence[int], *, title: str = "") -> Chart:
    """Return the chart; its title stands in the caption, where it wraps.

    Args:
        figure: a Plotly figure, or the dictionary of one.
        marks: what they stand for, a sentence.
        runs: those that it shows.
        title: in place of the figure's own.
    """
    drawn = figure.to_plotly_json() if isinstance(figure, go.Figure) else figure
    # Plotly's own encoder, for arrays
    content = json.loads(go.Figure(drawn).to_json())
    layout = content["layout"]
    own = layout.pop("title", {}).get("text", "")
    layout["margin"] = {**layout.get("margin", {}), "t": 12}
    content["config"] = {**PLOTLY_CONFIG}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Chart(title or own[:1].upper() + own[1:], marks, sorted(runs), Markup(text))
