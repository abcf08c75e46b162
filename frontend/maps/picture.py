"""A picture of the panels: its pixels as a URL, its name, and the lines below it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.maps.render import data_url, outline, values_url


@dataclass(frozen=True)
class Picture:
    """The fields of the template's figure."""

    url: str
    width: int  # screen pixels
    height: int
    cell: int  # width of the figure, which also holds the lines
    name: str
    description: str  # for screen readers and tooltips
    lines: list[str]
    color: str | None
    wrong: bool  # the first line is a wrong prediction
    outline_url: str | None
    values: str | None  # of the pixels, for the probe
    unit: float
    probe_name: str


def picture(
    pixels: np.ndarray,
    *,
    width: int,
    cell: int,
    name: str,
    description: str,
    lines: Sequence[str] = (),
    color: str | None = None,
    wrong: bool = False,
    mask: np.ndarray | None = None,
    values: np.ndarray | None = None,
    probe_name: str | None = None,
) -> Picture:
    """Return the picture of an array.

    Args:
        pixels: (H, W, 3) uint8.
        width: of the picture, in screen pixels.
        cell: of the figure, in screen pixels.
        name: above the picture.
        description: for screen readers and tooltips.
        lines: below the picture; empty ones are left out.
        color: of the dot beside the name.
        wrong: whether the first line is a wrong prediction.
        mask: outlined over the picture.
        values: the map whose values the probe shows.
        probe_name: the name beside these values, `name` unless given.
    """
    content, unit = values_url(values) if values is not None else (None, 0.0)
    return Picture(
        data_url(pixels),
        width,
        round(width * pixels.shape[0] / pixels.shape[1]),
        cell,
        name,
        description,
        [line for line in lines if line],
        color,
        wrong and bool(lines[0]),
        None if mask is None else outline_url(mask),
        content,
        unit,
        probe_name or name,
    )


def images_html(pictures: Sequence[Picture]) -> str:
    """Return the pictures beside each other in a card."""
    return template("maps/images.html.jinja").render(style=Markup(read_asset("maps/panels.css")), pictures=pictures)


def outline_url(mask: np.ndarray) -> str:
    """Return the edges of a mask (1 or C, H, W) as an SVG data URL, to lie over a picture."""
    height, width = mask.shape[-2:]
    path = "".join(f"M{x0} {y0}L{x1} {y1}" for x0, y0, x1, y1 in outline(mask))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><path d="{path}"'
        ' fill="none" stroke="#fff" stroke-width="0.6"/>'
        f'<path d="{path}" fill="none" stroke="#111" stroke-width="0.6" stroke-dasharray="1.6 1.2"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
