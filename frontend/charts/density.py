"""log p along a line and on a plane through an image, for each run."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from densitylab.backend.shared.contracts import Density, DensityOfRun
from densitylab.frontend.analysis.formatting import number
from densitylab.frontend.charts.figures import BELOW, MARGIN
from densitylab.frontend.maps.render import DIVERGING
from densitylab.frontend.maps.view import RunColumn

AXIS = "distance from the image, L2 in [0, 1] pixel units"
_COLORS = [
    [index / (len(DIVERGING["red-blue"]) - 1), f"rgb({','.join(str(int(part)) for part in color)})"]
    for index, color in enumerate(DIVERGING["red-blue"])
]


def relative(values: Sequence[float | None], run: DensityOfRun) -> list[float | None]:
    """Return log p(x′) − log p(x), which does not depend on the unknown constant of log p."""
    base = run.at_image
    return [None if value is None or base is None else value - base for value in values]


def reading(density: Density, columns: Sequence[RunColumn], image: str) -> str:
    """Return what the slopes and the curves say, in sentences.

    Args:
        density: of the runs.
        columns: the runs' columns.
        image: the name of the image.
    """
    by_run = {item.run: item for item in density.of_runs}
    known = [(slope, column.label) for column in columns if (slope := by_run[column.run].slope) is not None]
    spans = [(span, column.label) for column in columns if (span := _span(by_run[column.run])) is not None]
    if not known or not spans:
        return f"log p is not finite around {image}."
    (flat, flattest), (steep, steepest) = min(known), max(known)
    (small, least), (large, most) = min(spans), max(spans)
    reach = f"L2 {density.request.extent:g} of it, log p changes by up to"
    if len(columns) == 1:
        return f"At {image} the slope ‖∇ log p(x)‖ is {number(flat)}; within {reach} {number(small)}."
    times = f", {steep / flat:.3g} times as steep" if flat > 0 else ""
    return (
        f"At {image} log p is flattest under {flattest} (‖∇ log p(x)‖ = {number(flat)}) and steepest under {steepest} "
        f"({number(steep)}{times}). Within {reach} {number(small)} under {least} and {number(large)} under {most}."
    )


def _span(run: DensityOfRun) -> float | None:
    """Return the largest change of log p from the image along the line."""
    changes = [abs(value) for value in relative(run.curve, run) if value is not None]
    return max(changes, default=None)


def change_at(density: Density, columns: Sequence[RunColumn], distance: float, titles: Sequence[str]) -> str:
    """Return how log p of each run at the other image differs from that at the image.

    Args:
        density: of the runs, along the line between the images.
        columns: the runs' columns.
        distance: between the images.
        titles: of the image and of the other one.
    """
    image, other = titles
    by_run = {item.run: item for item in density.of_runs}
    nearest = min(range(len(density.distances)), key=lambda index: abs(density.distances[index] - distance))
    changes = [
        f"{'unknown' if value is None else f'{value:+.3g}'} under {column.label}"
        for column in columns
        for value in [relative(by_run[column.run].curve, by_run[column.run])[nearest]]
    ]
    return f"At {other}, L2 {distance:.3g} from {image}, log p differs from that at {image} by {', '.join(changes)}."


def line_chart(density: Density, columns: Sequence[RunColumn], images: Mapping[str, float]) -> go.Figure:
    """Draw a curve per run on one scale.

    Args:
        density: of the runs.
        columns: the runs' columns.
        images: name and distance of the images on the line, which are marked.
    """
    figure = go.Figure()
    by_run = {item.run: item for item in density.of_runs}
    for column in columns:
        item = by_run[column.run]
        figure.add_scatter(
            x=density.distances,
            y=relative(item.curve, item),
            name=column.label,
            uid=str(column.run),
            mode="lines",
            line={"color": column.color, "width": 2},
            hovertemplate="%{y:.4g}",
        )
    for index, (name, distance) in enumerate(images.items()):
        # The names of two images stand on both sides, however near to each other; in the middle only while it is alone
        outside = "left" if distance < 0.6 * density.request.extent else "right"
        figure.add_vline(
            x=distance,
            line={"color": "rgba(128,128,128,.8)", "width": 1, "dash": "dot"},
            annotation={
                "text": name,
                "xanchor": "center" if len(images) == 1 else outside if index else "right",
                "yanchor": "bottom",
                "font": {"size": 11},
            },
            annotation_position="top",
        )
    figure.update_xaxes(title={"text": AXIS, "standoff": 6}, automargin=True)
    figure.update_yaxes(title={"text": "log p(x + t d) − log p(x)", "standoff": 6}, automargin=True)
    return _plain(figure, "line")


def plane_limit(density: Density) -> float:
    """Return the largest difference from the image on the planes of all runs: the value at which the colours end."""
    values = [value for item in density.of_runs for row in item.plane for value in relative(row, item)]
    return max((abs(value) for value in values if value is not None), default=1.0) or 1.0


def plane_chart(density: Density, run: int, limit: float) -> go.Figure:
    """Draw a run's heat map of the plane of the direction and an orthogonal random one.

    Args:
        density: of the runs.
        run: whose plane is drawn.
        limit: the value at which the colours end.
    """
    item = next(item for item in density.of_runs if item.run == run)
    figure = go.Figure()
    figure.add_heatmap(
        z=[relative(row, item) for row in item.plane],
        x=density.sides,
        y=density.sides,
        zmin=-limit,
        zmax=limit,
        colorscale=_COLORS,
        showscale=False,
        hovertemplate="along %{x:.3g}, orthogonal %{y:.3g}: %{z:.3g}<extra></extra>",
        uid=str(run),
    )
    figure.add_scatter(
        x=[0],
        y=[0],
        mode="markers",
        marker={"symbol": "x", "color": "black", "size": 7},
        hoverinfo="skip",
    )
    figure.update_xaxes(title={"text": "along the direction", "standoff": 6}, automargin=True)
    figure.update_yaxes(title={"text": "orthogonal", "standoff": 6}, automargin=True)
    return _plain(figure, "plane").update_layout(margin={"t": 4})


def _plain(figure: go.Figure, revision: str) -> go.Figure:
    figure.update_layout(
        template="none",
        margin=MARGIN | {"t": 30},
        hovermode="x unified" if revision == "line" else "closest",
        legend=BELOW,
        showlegend=revision == "line",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        uirevision=revision,
    )
    return figure
