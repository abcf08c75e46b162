"""The saliency view as HTML: a card per image with one map per run, all on one colour scale."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.maps.picture import Picture, picture
from densitylab.frontend.maps.render import data_url, image_pixels, scale_pixels
from densitylab.frontend.maps.view import MapView, leakage_text, map_warning, prediction_text


@dataclass(frozen=True)
class _Card:
    title: str
    pictures: list[Picture]


def saliency_html(
    view: MapView, zoom: int, *, only: int | None = None, pinned: int | None = None, probe: bool = False
) -> str:
    """Return a card per image: the image and one map per run, with the null region outlined on both.

    Args:
        view: the maps.
        zoom: screen pixels per image pixel.
        only: the column to show; None: all.
        pinned: the index of the pinned image.
        probe: whether the maps carry their values, for the one under the pointer.
    """
    columns = list(range(len(view.columns))) if only is None else [only]
    cards = []
    for sample, index in enumerate(view.answer.samples.indices):
        pin = " · pinned" if index == pinned else ""
        pictures = [
            image_picture(view, sample, zoom),
            *(_map_picture(view, column, sample, zoom, probe=probe) for column in columns),
        ]
        cards.append(_Card(view.title(sample) + pin, pictures))
    return template("maps/saliency_panels.html.jinja").render(style=panel_style(), cards=cards)


def image_picture(view: MapView, sample: int, zoom: int) -> Picture:
    """Return the image with its label, and its null region outlined."""
    width, cell = _sizes(view, zoom)
    label, mask = view.panel(0, sample).label, view.mask(sample)
    named = "" if label is None else f"label {view.class_name(label)}"
    return picture(
        image_pixels(view.maps.images[sample]),
        width=width,
        cell=cell,
        name="image",
        description=f"{view.title(sample)}, label {view.class_name(label)}",
        lines=[named, "" if mask is None else "dashed: null region"],
        mask=mask,
    )


def _map_picture(view: MapView, column: int, sample: int, zoom: int, *, probe: bool) -> Picture:
    run, panel = view.columns[column], view.panel(column, sample)
    attribution = view.maps.attributions[column, sample]
    lines = [prediction_text(view, panel, panel.label), leakage_text(panel), map_warning(panel)]
    width, cell = _sizes(view, zoom)
    return picture(
        view.pixels(column, attribution, view.maps.images[sample]),
        width=width,
        cell=cell,
        name=run.label,
        description=f"{view.method} of {run.label} on image {panel.index}: {'; '.join(filter(None, lines))}",
        lines=lines,
        color=run.color,
        wrong=panel.label is not None and panel.predicted != panel.label,
        mask=view.mask(sample),
        values=attribution if probe else None,
    )


def _sizes(view: MapView, zoom: int) -> tuple[int, int]:
    """Return the width of a picture and of its figure, in screen pixels."""
    width = view.maps.images.shape[-1] * zoom
    return width, max(width, 104)


def scale_html(view: MapView) -> str:
    """Return the colour bar of all maps."""
    limit = "limit" if view.display.own_scale else f"{view.limit():.3g}"
    return color_scale_html(
        limit,
        signed=view.diverging,
        palette=view.display.palette,
        ends=["lowers", "raises"] if view.diverging else [],
    )


def color_scale_html(limit: str, *, signed: bool, palette: str | None = None, ends: Sequence[str] = ()) -> str:
    """Return a colour bar with its ticks.

    Args:
        limit: the value at which the colours end.
        signed: whether the bar begins at minus the limit; else at 0.
        palette: of the colours; None: the default of its kind.
        ends: the meaning of the two ends.
    """
    ticks = [f"−{limit}", "0", f"+{limit}"] if signed else ["0", "", limit]
    bar = data_url(scale_pixels(256, 12, signed=signed, palette=palette))
    return template("maps/scale.html.jinja").render(style=panel_style(), bar=bar, ticks=ticks, ends=ends)


def panel_style() -> Markup:
    """Return the style sheet of the panels."""
    return Markup(read_asset("maps/panels.css"))
