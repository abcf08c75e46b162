"""Charts of a search's trials: the values of one objective in their order, or two objectives with the Pareto front."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go

from densitylab.backend.shared.contracts import SearchCandidate, SearchProgress
from densitylab.frontend.analysis.colors import PALETTE, translucent
from densitylab.frontend.charts.figures import MARGIN

_LINE = {"color": "rgba(128,128,128,0.7)", "width": 1, "dash": "dot"}


def trials_chart(search: SearchProgress) -> go.Figure | None:
    """Draw the complete trials, over their numbers with the best so far, or in the plane of the first two objectives;
    None while no trial is complete."""
    complete = [item for item in search.candidates if item.state == "complete"]
    if not complete:
        return None
    names = [f"{goal.result}, validation ({_ARROWS[goal.direction]} better)" for goal in search.objectives]
    several = len(names) > 1
    traces = [_front(complete) if several else _best_so_far(complete, search.objectives[0].direction)]
    x = [item.values[0] if several else item.number for item in complete]
    y = [item.values[1] if several else item.value for item in complete]
    traces.append(
        {
            "type": "scatter",
            "x": x,
            "y": y,
            "mode": "markers",
            "name": "trials",
            "uid": "trials",
            "text": [_hover(item) for item in complete],
            "hovertemplate": "%{text}<extra></extra>",
            "customdata": [item.runs[0] for item in complete],
            "marker": {
                "size": [12 if item.best else 8 for item in complete],
                "color": [PALETTE[0] if item.best else translucent(PALETTE[0], 0.4) for item in complete],
            },
        }
    )
    axes = (names[0], names[1]) if several else ("trial", names[0])
    layout = {
        "xaxis": {"title": {"text": axes[0]}},
        "yaxis": {"title": {"text": axes[1]}},
        "margin": MARGIN,
        "showlegend": False,
        "uirevision": "trials",
    }
    return go.Figure({"data": traces, "layout": layout})


_ARROWS = {"maximize": "more is", "minimize": "less is"}


def _best_so_far(complete: Sequence[SearchCandidate], direction: str) -> dict[str, Any]:
    values = [item.value for item in complete if item.value is not None]
    best = list(accumulate(values, max if direction == "maximize" else min))
    line = {**_LINE, "shape": "hv"}
    numbers = [item.number for item in complete]
    return {
        "type": "scatter",
        "x": numbers,
        "y": best,
        "mode": "lines",
        "name": "best so far",
        "line": line,
        "uid": "best",
    }


def _front(complete: Sequence[SearchCandidate]) -> dict[str, Any]:
    front = sorted(tuple(item.values[:2]) for item in complete if item.best)
    return {
        "type": "scatter",
        "x": [point[0] for point in front],
        "y": [point[1] for point in front],
        # With a third objective the front is no line in this plane
        "mode": "lines" if len(complete[0].values) == 2 else "none",
        "name": "Pareto front",
        "line": _LINE,
        "hoverinfo": "skip",
        "uid": "front",
    }


def _hover(item: SearchCandidate) -> str:
    values = ", ".join(f"{value:.4g}" for value in item.values if value is not None)
    parameters = [f"{parameter_name(path)} = {parameter_value(value)}" for path, value in item.parameters.items()]
    return f"trial {item.number}: {values}<br>{', '.join(parameters)}"


def parameter_name(path: str) -> str:
    """Return the name of a searched parameter: its path, or λ."""
    return "λ" if path == "lambda_" else path


def parameter_value(value: Any) -> str:
    """Return the value of a searched parameter; a number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
