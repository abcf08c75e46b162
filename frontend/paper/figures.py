"""Figures as SVG and PDF, and the numbers from which `draw.py` draws them, here and in a bundle."""

import io
import threading
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.colors import PALETTE
from densitylab.frontend.paper.contents import Paper, PaperFigure

COLUMN_WIDTH, TEXT_WIDTH = 3.25, 6.5  # inches, of a column of two and of a whole page
STYLE_LOCK = threading.Lock()  # matplotlib's style belongs to the process


def width(figure: PaperFigure) -> float:
    """Return the width in inches: a column for one panel, the page for several."""
    return COLUMN_WIDTH if len(figure.panels) == 1 else TEXT_WIDTH


def tradeoff(figure: PaperFigure) -> bool:
    """Return whether the figure shows a result over another one, so that no axis says the λ of a point."""
    return any(
        isinstance(point.x, Estimate) for panel in figure.panels for line in panel.lines.values() for point in line
    )


def line_colors(paper: Paper) -> dict[str, str]:
    """Return a colour for each line, the same in all figures: the paper's, else one of the palette."""
    labels = dict.fromkeys(label for figure in paper.figures for panel in figure.panels for label in panel.lines)
    return {label: paper.colors.get(label, PALETTE[index % len(PALETTE)]) for index, label in enumerate(labels)}


def layout(figure: PaperFigure, colors: Mapping[str, str]) -> dict[str, Any]:
    """Return labels, width and colours for `draw.py`, without the numbers."""
    return {
        "title": figure.title,
        "x_label": figure.x_label,
        "y_label": figure.y_label,
        "width": width(figure),
        "lambda_at_points": tradeoff(figure),
        "colors": dict(colors),
    }


def points(figure: PaperFigure) -> pd.DataFrame:
    """Return a row per point: panel, line, x and y with the ends of their intervals, n, λ and runs."""
    return pd.DataFrame(
        [
            {
                "panel": panel.title,
                "line": label,
                **_ends("x", point.x),
                **_ends("y", point.y),
                "n": point.y.n,
                "lambda": "" if point.lambda_ is None else repr(point.lambda_),
                "dominated": "" if point.dominated is None else "yes" if point.dominated else "no",
                "runs": " ".join(map(str, point.runs)),
            }
            for panel in figure.panels
            for label, line in panel.lines.items()
            for point in line
        ],
        dtype=str,
    )


def render(paper: Paper, figure: PaperFigure, form: Literal["pdf", "svg"]) -> bytes:
    """Return the figure as a file.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    from densitylab.frontend.paper import draw

    rows = points(figure).to_dict(orient="records")
    file = io.BytesIO()
    with STYLE_LOCK, draw.drawn(layout(figure, line_colors(paper)), rows) as drawn:
        draw.save(drawn, file, form)
    return file.getvalue()


def _ends(axis: str, value: Estimate | float | str) -> dict[str, str]:
    if not isinstance(value, Estimate):
        return {axis: str(value), f"{axis}_low": "", f"{axis}_high": ""}
    low, high = ("" if end is None else repr(float(end)) for end in (value.low, value.high))
    return {axis: repr(float(value.mean)), f"{axis}_low": low, f"{axis}_high": high}
