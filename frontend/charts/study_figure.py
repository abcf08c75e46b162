"""A figure of a study in Plotly: a panel for each launch, a line for each method, intervals as bars."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from densitylab.frontend.analysis.comparison import text
from densitylab.frontend.charts.figures import BELOW, whiskers
from densitylab.frontend.charts.study_layout import PlacedFigure, PlacedLine

COLUMNS = 3
PANEL_HEIGHT = 300  # pixels


def study_figure(figure: PlacedFigure) -> go.Figure:
    """Draw the figure; a click on a point gives its runs, separated by commas."""
    columns = min(len(figure.panels), COLUMNS)
    rows = -(-len(figure.panels) // columns)
    drawn = make_subplots(
        rows,
        columns,
        shared_yaxes=True,
        subplot_titles=[panel.label for panel in figure.panels],
        horizontal_spacing=0.03,
        vertical_spacing=0.24 / rows,
    )
    named: set[str] = set()
    for index, panel in enumerate(figure.panels):
        row, column = index // columns + 1, index % columns + 1
        for line in panel.lines:
            drawn.add_trace(_trace(line, figure, index, named=line.label not in named), row, column)
            named.add(line.label)
        drawn.update_xaxes(title={"text": figure.x_label, "standoff": 6}, row=row, col=column)
        if column == 1:
            drawn.update_yaxes(title={"text": figure.y_label, "standoff": 6}, row=row, col=1)
    if figure.ticks:
        drawn.update_xaxes(
            tickvals=[position for position, _ in figure.ticks], ticktext=[label for _, label in figure.ticks]
        )
    drawn.update_xaxes(automargin=True)
    drawn.update_yaxes(automargin=True)
    drawn.update_layout(
        template="none",
        margin={"l": 58, "r": 20, "t": 30, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        hovermode="closest",
        legend={**BELOW, "y": -0.22 / rows},
    )
    return drawn


def height(figure: PlacedFigure) -> int:
    """Return the height of the figure in pixels."""
    return 90 + PANEL_HEIGHT * -(-len(figure.panels) // COLUMNS)


def _trace(line: PlacedLine, figure: PlacedFigure, panel: int, *, named: bool) -> go.Scatter:
    points = line.points
    where = dict(figure.ticks)
    return go.Scatter(
        x=[point.x.mean for point in points],
        y=[point.y.mean for point in points],
        error_x=whiskers([point.x for point in points], line.style.color),
        error_y=whiskers([point.y for point in points], line.style.color),
        mode="lines+markers" if len(points) > 1 else "markers",
        line={"color": line.style.color, "width": 1.4},
        marker={"size": 8, "symbol": line.style.symbol, "color": line.style.color},
        name=line.label,
        legendgroup=line.label,
        showlegend=named,
        uid=f"{panel} {line.label}",
        customdata=[",".join(map(str, point.runs)) for point in points],
        text=[
            f"{line.label}, λ = {point.lambda_:g}<br>{figure.x_label}: {where.get(point.x.mean) or text(point.x)}"
            f"<br>{figure.y_label}: {text(point.y)}"
            for point in points
        ],
        hovertemplate="%{text}<extra></extra>",
    )
